#include "engine/session/snapshot.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/checksum.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied as they are");

constexpr char kMagic[] = "TLINSNAP";
constexpr uint32_t kVersion = 1;
constexpr size_t kFingerprintBytes = 32;
constexpr size_t kDtypeBytes = 8;

// As it is in the file, without padding anywhere.
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  char fingerprint[kFingerprintBytes];
  char dtype[kDtypeBytes];
  uint64_t tokens;
  int64_t history_tokens;
  int64_t window_tokens;
  uint64_t state_bytes;
  int64_t created_ns;
  int64_t last_used_ns;
  uint64_t checksum;
};
static_assert(sizeof(Header) == kSnapshotHeaderBytes);

// Of the header's bytes before its own checksum.
uint64_t HeaderChecksum(const Header& header) {
  return Checksum(absl::string_view(reinterpret_cast<const char*>(&header),
                                    offsetof(Header, checksum)));
}

template <size_t kSize>
void SetText(absl::string_view text, char (&field)[kSize]) {
  std::memset(field, 0, kSize);
  std::memcpy(field, text.data(), std::min(text.size(), kSize));
}

template <size_t kSize>
std::string TextOf(const char (&field)[kSize]) {
  return absl::CHexEscape(absl::string_view(field, strnlen(field, kSize)));
}

void AppendWithChecksum(const void* data, size_t bytes, std::string* out) {
  const absl::string_view view(static_cast<const char*>(data), bytes);
  const uint64_t checksum = Checksum(view);
  out->append(view.data(), view.size());
  out->append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
}

// Takes apart what AppendWithChecksum put there.
class Parts {
 public:
  Parts(absl::string_view bytes, absl::string_view name)
      : bytes_(bytes), name_(name) {}

  // The next `size` bytes, whose checksum is right. REQUIRES: they are there.
  absl::StatusOr<absl::string_view> Next(absl::string_view what, size_t size) {
    const absl::string_view part = bytes_.substr(offset_, size);
    uint64_t checksum;
    std::memcpy(&checksum, bytes_.data() + offset_ + size, sizeof(checksum));
    if (Checksum(part) != checksum) {
      return absl::DataLossError(
          absl::StrCat(name_, ": the ", what, " at offset ", offset_,
                       " are damaged: their checksum is wrong"));
    }
    offset_ += size + sizeof(checksum);
    return part;
  }

 private:
  const absl::string_view bytes_;
  const absl::string_view name_;
  size_t offset_ = sizeof(Header);
};

absl::StatusOr<Header> ReadHeader(absl::string_view bytes,
                                  absl::string_view name) {
  Header header;
  if (bytes.size() < sizeof(header)) {
    return absl::DataLossError(absl::StrCat(name, ": has ", bytes.size(),
                                            " bytes: a snapshot's header has ",
                                            sizeof(header)));
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(header.magic)) != 0) {
    return absl::DataLossError(absl::StrCat(
        name, ": is no snapshot: it does not begin with ", kMagic));
  }
  if (header.version != kVersion) {
    const bool swapped = header.version == kVersion << 24;
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": is of ",
                     swapped ? "the other byte order"
                             : absl::StrCat("version ", header.version),
                     ": want version ", kVersion, ", little-endian"));
  }
  if (header.header_bytes != sizeof(header) ||
      header.checksum != HeaderChecksum(header)) {
    return absl::DataLossError(
        absl::StrCat(name, ": the header is damaged: its checksum is wrong"));
  }
  return header;
}

absl::Status CheckModel(const Header& header, absl::string_view name,
                        const ModelInfo& model) {
  const std::string fingerprint = TextOf(header.fingerprint);
  if (fingerprint != model.fingerprint) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": is of the model ", fingerprint, ": this one is ",
                     model.fingerprint, " (configuration and weights)"));
  }
  const std::string dtype = TextOf(header.dtype);
  if (dtype != model.dtype) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": its state is in ", dtype, ": want ", model.dtype,
                     " (--dtype)"));
  }
  return absl::OkStatus();
}

// A header whose numbers fit the model and each other.
absl::StatusOr<Header> CheckedHeader(absl::string_view bytes,
                                     absl::string_view name,
                                     const ModelRunner& model) {
  const ModelInfo& info = model.info();
  TLIN_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, name));
  TLIN_RETURN_IF_ERROR(CheckModel(header, name, info));
  if (header.tokens > static_cast<uint64_t>(info.max_context_tokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has ", header.tokens, " tokens: a context has ",
                     info.max_context_tokens, " (--max_context_tokens)"));
  }
  const StateExtent extent = {header.history_tokens, header.window_tokens};
  const absl::StatusOr<int64_t> state_bytes = model.StateBytes(extent);
  if (!state_bytes.ok() ||
      extent.tokens() > static_cast<int64_t>(header.tokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has a state of ", header.state_bytes, " bytes, ",
                     extent.history_tokens, " history and ",
                     extent.window_tokens, " window tokens, of ", header.tokens,
                     " tokens: this model has none such"));
  }
  if (header.state_bytes != static_cast<uint64_t>(*state_bytes)) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": its state has ", header.state_bytes, " bytes: here it has ",
        *state_bytes, " (--derived_history)"));
  }
  return header;
}

int64_t HeadBytes(const Header& header) {
  return kSnapshotHeaderBytes +
         static_cast<int64_t>(header.tokens * sizeof(TokenId) +
                              sizeof(uint64_t));
}

absl::Status CheckSize(absl::string_view bytes, absl::string_view name,
                       int64_t size) {
  if (static_cast<int64_t>(bytes.size()) == size) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      name, ": has ", bytes.size(), " bytes: its header tells of ", size));
}

// The token ids, which `parts` comes to next.
absl::StatusOr<std::vector<TokenId>> ReadTokens(const Header& header,
                                                absl::string_view name,
                                                const ModelInfo& info,
                                                Parts* parts) {
  TLIN_ASSIGN_OR_RETURN(
      const absl::string_view ids,
      parts->Next("token ids", header.tokens * sizeof(TokenId)));
  std::vector<TokenId> tokens(header.tokens);
  std::copy_n(ids.data(), ids.size(), reinterpret_cast<char*>(tokens.data()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < info.vocab_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": token ", i, " is ", tokens[i],
        ": the vocabulary has the ids 0 to ", info.vocab_size - 1));
  }
  return tokens;
}

}  // namespace

int64_t SnapshotBytes(int64_t tokens, int64_t state_bytes) {
  return kSnapshotHeaderBytes + tokens * static_cast<int64_t>(sizeof(TokenId)) +
         state_bytes + 2 * static_cast<int64_t>(sizeof(uint64_t));
}

std::string SnapshotVersion(absl::string_view bytes) {
  Fingerprint fingerprint;
  fingerprint.Add(bytes.data(), bytes.size());
  return fingerprint.Hex();
}

std::string EncodeSnapshot(const Snapshot& snapshot, const ModelInfo& model) {
  static const SavedState kNoState;
  const SavedState& state =
      snapshot.state == nullptr ? kNoState : *snapshot.state;
  Header header = {};
  SetText(kMagic, header.magic);
  header.version = kVersion;
  header.header_bytes = sizeof(header);
  SetText(model.fingerprint, header.fingerprint);
  SetText(model.dtype, header.dtype);
  header.tokens = snapshot.tokens.size();
  header.history_tokens = state.extent.history_tokens;
  header.window_tokens = state.extent.window_tokens;
  header.state_bytes = state.bytes.size();
  header.created_ns = absl::ToUnixNanos(snapshot.created);
  header.last_used_ns = absl::ToUnixNanos(snapshot.last_used);
  header.checksum = HeaderChecksum(header);

  std::string bytes;
  bytes.reserve(static_cast<size_t>(
      SnapshotBytes(static_cast<int64_t>(snapshot.tokens.size()),
                    static_cast<int64_t>(state.bytes.size()))));
  bytes.append(reinterpret_cast<const char*>(&header), sizeof(header));
  AppendWithChecksum(snapshot.tokens.data(),
                     snapshot.tokens.size() * sizeof(TokenId), &bytes);
  AppendWithChecksum(state.bytes.data(), state.bytes.size(), &bytes);
  return bytes;
}

absl::StatusOr<int64_t> SnapshotHeadBytes(absl::string_view bytes,
                                          absl::string_view name,
                                          const ModelRunner& model) {
  TLIN_ASSIGN_OR_RETURN(const Header header, CheckedHeader(bytes, name, model));
  return HeadBytes(header);
}

absl::StatusOr<SnapshotHead> DecodeSnapshotHead(absl::string_view bytes,
                                                absl::string_view name,
                                                const ModelRunner& model) {
  TLIN_ASSIGN_OR_RETURN(const Header header, CheckedHeader(bytes, name, model));
  TLIN_RETURN_IF_ERROR(CheckSize(bytes, name, HeadBytes(header)));
  Parts parts(bytes, name);
  SnapshotHead head;
  TLIN_ASSIGN_OR_RETURN(head.tokens,
                        ReadTokens(header, name, model.info(), &parts));
  head.extent = {header.history_tokens, header.window_tokens};
  head.created = absl::FromUnixNanos(header.created_ns);
  head.last_used = absl::FromUnixNanos(header.last_used_ns);
  return head;
}

absl::StatusOr<SnapshotSummary> DecodeSnapshotSummary(
    absl::string_view bytes, absl::string_view name, const ModelRunner& model) {
  TLIN_ASSIGN_OR_RETURN(const Header header, CheckedHeader(bytes, name, model));
  return SnapshotSummary{static_cast<int64_t>(header.tokens),
                         absl::FromUnixNanos(header.created_ns),
                         absl::FromUnixNanos(header.last_used_ns)};
}

absl::StatusOr<Snapshot> DecodeSnapshot(absl::string_view bytes,
                                        absl::string_view name,
                                        const ModelRunner& model) {
  TLIN_ASSIGN_OR_RETURN(const Header header, CheckedHeader(bytes, name, model));
  const auto state_bytes = static_cast<int64_t>(header.state_bytes);
  TLIN_RETURN_IF_ERROR(CheckSize(
      bytes, name,
      SnapshotBytes(static_cast<int64_t>(header.tokens), state_bytes)));
  Parts parts(bytes, name);
  Snapshot snapshot;
  TLIN_ASSIGN_OR_RETURN(snapshot.tokens,
                        ReadTokens(header, name, model.info(), &parts));
  TLIN_ASSIGN_OR_RETURN(const absl::string_view state,
                        parts.Next("bytes of the state", header.state_bytes));
  snapshot.created = absl::FromUnixNanos(header.created_ns);
  snapshot.last_used = absl::FromUnixNanos(header.last_used_ns);
  if (state_bytes > 0) {
    auto saved = std::make_shared<SavedState>();
    saved->extent = {header.history_tokens, header.window_tokens};
    saved->bytes.resize(state.size());
    std::copy_n(state.data(), state.size(),
                reinterpret_cast<char*>(saved->bytes.data()));
    snapshot.state = std::move(saved);
  }
  return snapshot;
}

}  // namespace tlin
