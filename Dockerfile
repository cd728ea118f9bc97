# docker build -t kit .
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" kit run recipe full
# With another build of PyTorch: --build-arg TORCH_INDEX=URL, an index that holds torch and torchvision.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/kit
ENV PATH=/opt/kit/bin:$PATH
WORKDIR /src
# The dependencies first: editing the sources then leaves these layers alone.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > dependencies.txt \
 && if [ -n "$TORCH_INDEX" ]; then grep '^torch' dependencies.txt > torch.txt && pip install --index-url "$TORCH_INDEX" -r torch.txt; fi \
 && pip install -r dependencies.txt
COPY README.md LICENSE ./
COPY kit kit
COPY recipes recipes
RUN pip install --no-deps .

FROM ${BASE}
RUN useradd --create-home --uid 1000 kit && mkdir /work && chown kit:kit /work
COPY --from=build /opt/kit /opt/kit
ENV PATH=/opt/kit/bin:$PATH PYTHONUNBUFFERED=1
USER kit
WORKDIR /work
ENTRYPOINT ["kit"]
