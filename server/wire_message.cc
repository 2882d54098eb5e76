#include "server/wire_message.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/utf8.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/slice.h"

namespace tlin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

bool IsValidUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Char next = NextUtf8Char(bytes);
    if (next.kind != Utf8Char::kWhole) return false;
    bytes.remove_prefix(next.length);
  }
  return true;
}

// The path of a string field that is not UTF-8; empty where there is none. The
// schema has no cycle, so the depth is bounded by it.
std::string FindInvalidUtf8(const Descriptor& type,
                            const UnknownFieldSet& fields) {
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const FieldDescriptor* known = type.FindFieldByNumber(field.number());
    if (known == nullptr) continue;
    if (known->type() == FieldDescriptor::TYPE_STRING) {
      if (!IsValidUtf8(field.length_delimited())) return known->name();
    } else if (known->type() == FieldDescriptor::TYPE_MESSAGE) {
      UnknownFieldSet inner;
      if (!inner.ParseFromString(field.length_delimited())) continue;
      const std::string path = FindInvalidUtf8(*known->message_type(), inner);
      if (!path.empty()) return absl::StrCat(known->name(), ".", path);
    }
  }
  return "";
}

}  // namespace

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, int64_t max_bytes,
                          google::protobuf::Message* message) {
  const int64_t length = static_cast<int64_t>(bytes.Length());
  if (length > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request has ", length,
                     " bytes: --max_message_bytes is ", max_bytes));
  }
  // Copies share the slices; the reader wants one it may change.
  grpc::ByteBuffer buffer = bytes;
  {
    grpc::ProtoBufferReader reader(&buffer);
    if (reader.status().ok() && message->ParseFromZeroCopyStream(&reader)) {
      return absl::OkStatus();
    }
  }
  buffer = bytes;
  grpc::ProtoBufferReader reader(&buffer);
  UnknownFieldSet fields;
  if (reader.status().ok() && fields.ParseFromZeroCopyStream(&reader)) {
    const std::string path = FindInvalidUtf8(*message->GetDescriptor(), fields);
    if (!path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is not valid UTF-8"));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the request is not a valid ",
                   std::string(message->GetDescriptor()->full_name())));
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeToArray(const_cast<uint8_t*>(slice.begin()),
                           static_cast<int>(slice.size()));
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace tlin
