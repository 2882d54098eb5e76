// Bytes of the wire <-> messages. The services take raw bytes: gRPC itself
// answers bytes that do not parse with an empty UNIMPLEMENTED, which names no
// field and escapes the metrics.
#ifndef TLIN_SERVER_WIRE_MESSAGE_H_
#define TLIN_SERVER_WIRE_MESSAGE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf
namespace grpc {
class ByteBuffer;
}  // namespace grpc

namespace tlin {

// INVALID_ARGUMENT names the string field that is not valid UTF-8, or says
// that the bytes are no such message, or more than `max_bytes`.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, int64_t max_bytes,
                          google::protobuf::Message* message);

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace tlin

#endif  // TLIN_SERVER_WIRE_MESSAGE_H_
