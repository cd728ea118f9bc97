# Two targets, one recipe:
#   docker build --target cpu  -t kit:cpu --build-arg TORCH_INDEX=URL .   # URL: PyTorch's index of CPU builds, as its site names it
#   docker build --target cuda -t kit:cuda .                              # PyPI's build, for Linux on x86 with CUDA
# docs/submission.md shows how to run it without a network and with a read-only root.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
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
COPY submission submission
# What only compilers read stays behind, and so does pip.
RUN pip install --no-deps . \
 && find /opt/kit -name '*.a' -delete \
 && find /opt/kit -type d -name include -path '*/site-packages/*' -prune -exec rm -r {} + \
 && pip uninstall --yes pip

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="kit" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 1000 kit && mkdir /work && chown kit:kit /work
COPY --from=build /opt/kit /opt/kit
# A name for whoever runs it (--user): PyTorch asks for one, and an unknown number has none. Only /work is written to.
ENV PATH=/opt/kit/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 USER=kit LOGNAME=kit ORT_DISABLE_TELEMETRY=1
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["kit"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM runtime AS cpu
ENV CUDA_VISIBLE_DEVICES=
