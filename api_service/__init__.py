"""Signal in, predictions out. Never imports retrain_service."""
