# Triton on a CPU: the server of the nvidia-pytriton wheel, OpenVINO in its python backend, our models inside.
# Build from the repository's root:
#   docker build -f model_repository/cpu.Dockerfile -t articula/triton-cpu:0.1.0 .
#
# The base is named by its full version. To pin it by digest, look the digest up yourself and pass it:
#   docker buildx imagetools inspect python:3.11.13-slim-bookworm
#   docker build --build-arg PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:... ...
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY tools/install/triton.lock.txt /opt/articula/triton.lock.txt
COPY model_repository/place_stub.sh /opt/articula/place_stub.sh
RUN python3.11 -m venv /opt/articula/venv \
    && /opt/articula/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --only-binary :all: --no-deps --require-hashes -r /opt/articula/triton.lock.txt \
    && /opt/articula/venv/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && sh /opt/articula/place_stub.sh /opt/articula/venv/lib/python3.11/site-packages/pytriton/tritonserver 3.11 \
    && rm /opt/articula/venv/lib/python3.11/site-packages/openvino/libs/libopenvino_intel_gpu_plugin.so \
        /opt/articula/venv/lib/python3.11/site-packages/openvino/libs/libopenvino_intel_npu_plugin.so

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Articula Triton for CPU" \
    org.opencontainers.image.description="Research use only, not for diagnosis."
COPY --from=packages /opt/articula/venv /opt/articula/venv
COPY model_repository/knee_segmentation /opt/articula/model_repository/knee_segmentation
COPY model_repository/knee_classification /opt/articula/model_repository/knee_classification
COPY model_repository/knee_cam /opt/articula/model_repository/knee_cam
COPY model_repository/openvino_model.py /opt/articula/model_repository/openvino_model.py
COPY model_repository/serve.sh model_repository/probe.py /opt/articula/
WORKDIR /opt/articula
# the backend takes its packages from the bin folder that comes first on PATH, and needs the shared libpython
ENV PATH=/opt/articula/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/usr/local/lib:/opt/articula/venv/lib/python3.11/site-packages/nvidia_pytriton.libs \
    ARTICULA_TRITON_HOME=/opt/articula/venv/lib/python3.11/site-packages/pytriton/tritonserver \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 8001 8002
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=12s --start-period=120s --retries=3 \
    CMD ["python3", "/opt/articula/probe.py"]
ENTRYPOINT ["/bin/sh", "/opt/articula/serve.sh"]
