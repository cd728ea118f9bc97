// Browsers start no worker from a file, and the search of these pages is one: from a folder it runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = this.inside = frame.contentWindow
      inside.document.open()
      inside.document.write("<!doctype html><head></head>")
      inside.postMessage = data => {
        const event = new MessageEvent("message", { data })
        this.onmessage?.(event)
        this.dispatchEvent(event)
      }
      const load = address => new Promise((done, fail) => {
        const script = inside.document.createElement("script")
        Object.assign(script, { src: address, onload: done, onerror: fail })
        inside.document.head.append(script)
      })
      inside.importScripts = (...urls) => Promise.all(urls.map(load))
      this.loaded = load(url)
      inside.document.close()
    }
    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
