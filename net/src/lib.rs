//! What is said: Kafka's messages, the connection state machine, a client. Pure: bytes in, bytes out.
