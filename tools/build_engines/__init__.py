"""TensorRT-RTX engines from the served ONNX files, built without a GPU, and what half precision costs."""
