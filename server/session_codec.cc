#include "server/session_codec.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/base/status_macros.h"
#include "server/caller.h"
#include "server/plain_name.h"

namespace tlin {
namespace {

constexpr size_t kMaxIdBytes = 128;

v1::Session::State EncodeResidence(SessionInfo::Residence residence) {
  switch (residence) {
    case SessionInfo::Residence::kActive:
      return v1::Session::ACTIVE;
    case SessionInfo::Residence::kIdle:
      return v1::Session::IDLE;
    case SessionInfo::Residence::kStored:
      return v1::Session::STORED;
  }
  return v1::Session::STATE_UNSPECIFIED;
}

void EncodeTime(absl::Time time, google::protobuf::Timestamp* wire) {
  wire->set_seconds(absl::ToUnixSeconds(time));
  wire->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(wire->seconds()))));
}

}  // namespace

absl::Status CheckSessionId(absl::string_view field, const std::string& id) {
  if (IsPlainName(id, kMaxIdBytes)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": '", absl::CHexEscape(id.substr(0, kMaxIdBytes)),
      "': want 1 to ", kMaxIdBytes, " of A-Z a-z 0-9 . _ -, no dot first"));
}

absl::Status ChooseSessionKey(absl::string_view field, RequestIds* ids,
                              absl::string_view owner, std::string* id) {
  if (id->empty()) *id = ids->NextSession();
  TLIN_RETURN_IF_ERROR(CheckSessionId(field, *id));
  *id = SessionKey(owner, *id);
  return absl::OkStatus();
}

v1::Session EncodeSession(const SessionInfo& info, absl::string_view owner) {
  absl::string_view id;
  IdOfKey(owner, info.id, &id);
  v1::Session wire;
  wire.set_session_id(std::string(id));
  wire.set_state(EncodeResidence(info.residence));
  wire.set_tokens(info.tokens);
  wire.set_host_bytes(info.host_bytes);
  wire.set_device_bytes(info.device_bytes);
  wire.set_durable(info.durable);
  EncodeTime(info.created, wire.mutable_created());
  EncodeTime(info.last_used, wire.mutable_last_used());
  return wire;
}

}  // namespace tlin
