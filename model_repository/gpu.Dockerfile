# Triton on NVIDIA GPUs, for a model repository that is mounted: engines are built for each kind of GPU and are no part
# of an image. Build from the repository's root, naming the registry of NVIDIA's catalogue or your mirror of it:
#   docker build -f model_repository/gpu.Dockerfile --build-arg TRITON_IMAGE=<registry>/nvidia/tritonserver:24.10-py3 \
#       -t articula/triton-gpu:0.1.0 .
#
# 24.10 is Triton 2.51, the version the CPU image runs and the tests measure. To pin it by digest, look it up yourself:
#   docker buildx imagetools inspect <registry>/nvidia/tritonserver:24.10-py3
ARG TRITON_IMAGE=nvidia/tritonserver:24.10-py3
FROM ${TRITON_IMAGE}
LABEL org.opencontainers.image.title="Articula Triton for GPU" \
    org.opencontainers.image.description="Research use only, not for diagnosis."
COPY model_repository/serve.sh model_repository/probe.py /opt/articula/
WORKDIR /opt/articula
ENV ARTICULA_TRITON_HOME=/opt/tritonserver \
    ARTICULA_MODELS=/models \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 8001 8002
VOLUME /models
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=12s --start-period=300s --retries=3 \
    CMD ["python3", "/opt/articula/probe.py"]
ENTRYPOINT ["/bin/sh", "/opt/articula/serve.sh"]
