"""The Open Inference Protocol (V2) over plain rows: messages and tensors. Knows no route."""
