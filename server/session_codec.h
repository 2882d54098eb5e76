// Proto <-> sessions, and their names.
#ifndef TLIN_SERVER_SESSION_CODEC_H_
#define TLIN_SERVER_SESSION_CODEC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/sessions.h"
#include "server/request_ids.h"
#include "tlin/v1/sessions.pb.h"

namespace tlin {

// An id that a caller chose: 1 to 128 of A-Z a-z 0-9 . _ -, not beginning with
// a dot, so that it can name a file and stand in a log. INVALID_ARGUMENT names
// `field`.
absl::Status CheckSessionId(absl::string_view field, const std::string& id);

// The same where there is one; else `ids` draws it. Then *id is the key that
// `owner`'s session has in the engine: see caller.h.
absl::Status ChooseSessionKey(absl::string_view field, RequestIds* ids,
                              absl::string_view owner, std::string* id);

// Under the id that `owner` knows it by.
v1::Session EncodeSession(const SessionInfo& info, absl::string_view owner);

}  // namespace tlin

#endif  // TLIN_SERVER_SESSION_CODEC_H_
