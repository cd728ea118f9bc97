// Browsers start no worker from a file, and the search of these pages is one: from a folder it runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = this.onerror = null
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inside = frame.contentWindow
      this.inside.answer = data => {
        const event = new MessageEvent("message", { data })
        this.onmessage?.(event)
        this.dispatchEvent(event)
      }
      const open = "<script>window.postMessage = answer; window.importScripts = (...urls) => Promise.all(urls.map(url => " +
        "new Promise((done, fail) => document.head.append(Object.assign(document.createElement('script'), " +
        "{ src: url, onload: done, onerror: fail }))))</" + "script>"
      this.loaded = new Promise(done => { frame.onload = done })
      this.inside.document.write("<!doctype html><head>" + open + `<script src="${url}"></` + "script></head>")
      this.inside.document.close()
    }
    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
