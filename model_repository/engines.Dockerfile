# Builds TensorRT engines on the GPU they are for, and runs the GPU check: the chart's Job and the start of its GPU pods.
# On the image of Triton that serves, so the libraries that build are those that load. From the repository's root:
#   docker build -f model_repository/engines.Dockerfile --build-arg TRITON_IMAGE=<registry>/nvidia/tritonserver:24.10-py3 \
#       -t articula/engine-builder:0.1.0 .
#
# To pin it by digest, look it up yourself: docker buildx imagetools inspect <registry>/nvidia/tritonserver:24.10-py3
# With another Triton, lock the bindings of its TensorRT in tools/install/engines.in; the last RUN compares the two.
ARG TRITON_IMAGE=nvidia/tritonserver:24.10-py3
FROM ${TRITON_IMAGE}
LABEL org.opencontainers.image.title="Articula engine builder" \
    org.opencontainers.image.description="Research use only, not for diagnosis."
RUN apt-get update && apt-get install --yes --no-install-recommends python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
COPY tools/install/engines.lock.txt /opt/articula/engines.lock.txt
RUN python3.11 -m venv /opt/articula/venv \
    && /opt/articula/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --only-binary :all: --no-deps --require-hashes -r /opt/articula/engines.lock.txt \
    && /opt/articula/venv/bin/python -m pip uninstall --quiet --yes pip setuptools
COPY services/__init__.py /opt/articula/services/__init__.py
COPY services/common /opt/articula/services/common
COPY services/results /opt/articula/services/results
COPY services/preprocessing /opt/articula/services/preprocessing
COPY tools/__init__.py tools/pin_models.py /opt/articula/tools/
COPY tools/build_engines /opt/articula/tools/build_engines
COPY tools/evaluate /opt/articula/tools/evaluate
COPY tools/gpu_check /opt/articula/tools/gpu_check
COPY tools/model_repository /opt/articula/tools/model_repository
COPY tools/phantom /opt/articula/tools/phantom
COPY tools/stack /opt/articula/tools/stack
COPY model_repository/knee_segmentation /opt/articula/model_repository/knee_segmentation
COPY model_repository/knee_classification /opt/articula/model_repository/knee_classification
COPY model_repository/knee_cam /opt/articula/model_repository/knee_cam
COPY model_repository/openvino_model.py /opt/articula/model_repository/openvino_model.py
WORKDIR /opt/articula
RUN /opt/articula/venv/bin/python -m compileall -q services tools \
    && /opt/articula/venv/bin/python -c "import tools.build_engines.__main__, tools.gpu_check.__main__"
RUN /opt/articula/venv/bin/python -c "import ctypes, tensorrt_bindings as bindings; \
    loaded = ctypes.CDLL('libnvinfer.so.10').getInferLibVersion(); \
    loaded = f'{loaded // 10000}.{loaded // 100 % 100}.{loaded % 100}'; \
    assert bindings.__version__ == loaded, f'this image has TensorRT {loaded}, the bindings are {bindings.__version__}'"
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
# it ends; its status says whether the engines are there
HEALTHCHECK NONE
ENTRYPOINT ["/opt/articula/venv/bin/python", "-m", "tools.build_engines"]
