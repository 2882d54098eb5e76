#include "engine/tokenizer/token_tables.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/byte_alphabet.h"

namespace tlin {
namespace {

constexpr TokenId kNone = -1;

// Lives for one BuildTokenTables, whose arguments it borrows.
class Builder {
 public:
  Builder(const TokenizerSpec& spec, absl::string_view name)
      : spec_(spec), name_(name) {}

  absl::StatusOr<TokenTables> Build() {
    AllocateTokens();
    TLIN_RETURN_IF_ERROR(AddVocab());
    TLIN_ASSIGN_OR_RETURN(Bpe bpe, MakeBpe());
    TLIN_RETURN_IF_ERROR(AddAddedTokens());
    return TokenTables{std::move(tokens_), std::move(bpe),
                       AddedTokens(std::move(literal_)),
                       AddedTokens(std::move(normalized_))};
  }

 private:
  absl::Status Error(absl::string_view field, absl::string_view message) const {
    return TokenizerFieldError(name_, field, message);
  }

  // The reader held every id to kMaxTokenId.
  void AllocateTokens() {
    TokenId last = kNone;
    for (const auto& entry : spec_.vocab) last = std::max(last, entry.id);
    for (const auto& token : spec_.added_tokens)
      last = std::max(last, token.id);
    tokens_.resize(last + 1);
    taken_.resize(last + 1);
  }

  absl::Status AddVocab() {
    byte_ids_.fill(kNone);
    ids_.reserve(spec_.vocab.size());
    for (const auto& entry : spec_.vocab) {
      if (taken_[entry.id]) {
        return Error(absl::StrCat("model.vocab.", QuotedToken(entry.spelled)),
                     absl::StrCat("another token has the id ", entry.id));
      }
      taken_[entry.id] = true;
      ids_.emplace(entry.spelled, entry.id);
      TokenTables::Token& token = tokens_[entry.id];
      absl::optional<std::string> bytes = BytesOfSpelled(entry.spelled);
      token.spelled = bytes.has_value();
      token.bytes = bytes.has_value() ? *std::move(bytes) : entry.spelled;
      if (token.spelled && token.bytes.size() == 1) {
        byte_ids_[static_cast<uint8_t>(token.bytes[0])] = entry.id;
      }
    }
    const auto missing = std::find(byte_ids_.begin(), byte_ids_.end(), kNone);
    if (missing == byte_ids_.end()) return absl::OkStatus();
    return Error("model.vocab",
                 absl::StrFormat("lacks the token of byte 0x%02X; text that "
                                 "has it could not be encoded",
                                 missing - byte_ids_.begin()));
  }

  TokenId Find(absl::string_view spelled) const {
    const auto it = ids_.find(spelled);
    return it == ids_.end() ? kNone : it->second;
  }

  absl::StatusOr<Bpe> MakeBpe() const {
    Bpe bpe(byte_ids_);
    for (size_t rank = 0; rank < spec_.merges.size(); ++rank) {
      const TokenizerSpec::Merge& merge = spec_.merges[rank];
      const std::string merged = absl::StrCat(merge.left, merge.right);
      for (absl::string_view part :
           {absl::string_view(merge.left), absl::string_view(merge.right),
            absl::string_view(merged)}) {
        if (Find(part) == kNone) {
          return Error(
              absl::StrCat("model.merges[", rank, "]"),
              absl::StrCat("model.vocab has no token ", QuotedToken(part)));
        }
      }
      bpe.AddMerge(Find(merge.left), Find(merge.right),
                   static_cast<uint32_t>(rank), Find(merged));
    }
    return bpe;
  }

  absl::Status AddAddedTokens() {
    absl::flat_hash_set<absl::string_view> contents;
    const auto vocab_size = static_cast<TokenId>(spec_.vocab.size());
    TokenId next_id = vocab_size;
    for (size_t i = 0; i < spec_.added_tokens.size(); ++i) {
      const TokenizerSpec::AddedToken& added = spec_.added_tokens[i];
      const auto field = [i](const char* member) {
        return absl::StrCat("added_tokens[", i, "].", member);
      };
      if (!contents.insert(added.content).second) {
        return Error(field("content"), "another added token has it");
      }
      const TokenId known = Find(added.content);
      const TokenId expected = known == kNone ? next_id : known;
      if (added.id != expected) {
        return Error(
            field("id"),
            absl::StrCat(added.id, ", but Hugging Face's loader gives ",
                         QuotedToken(added.content), " the id ", expected));
      }
      next_id = std::max(next_id, added.id + 1);
      TokenTables::Token& token = tokens_[added.id];
      if (known == kNone && taken_[added.id]) {
        return Error(field("id"),
                     absl::StrCat("another token has the id ", added.id));
      }
      if (known != kNone && token.bytes != added.content) {
        return Error(field("content"),
                     "stands for other bytes in model.vocab, so that decoding "
                     "would not give back the text");
      }
      taken_[added.id] = true;
      token.bytes = added.content;
      token.special = added.special;
      (added.normalized ? normalized_ : literal_)
          .emplace_back(added.content, added.id);
    }
    return absl::OkStatus();
  }

  const TokenizerSpec& spec_;
  const absl::string_view name_;
  std::vector<TokenTables::Token> tokens_;
  std::vector<bool> taken_;                              // [tokens_.size()]
  absl::flat_hash_map<absl::string_view, TokenId> ids_;  // keys in spec_
  std::array<TokenId, 256> byte_ids_;
  std::vector<std::pair<std::string, TokenId>> literal_;
  std::vector<std::pair<std::string, TokenId>> normalized_;
};

}  // namespace

absl::StatusOr<TokenTables> BuildTokenTables(const TokenizerSpec& spec,
                                             absl::string_view name) {
  return Builder(spec, name).Build();
}

}  // namespace tlin
