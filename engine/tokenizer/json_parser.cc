#include "engine/tokenizer/json_parser.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tlin {
namespace {

// Builds nothing: stops at the first thing that is wrong and keeps its reason.
class LimitChecker final : public nlohmann::json::json_sax_t {
 public:
  // Empty where nothing is wrong.
  const std::string& fault() const { return fault_; }

  bool null() override { return CountValue(); }
  bool boolean(bool) override { return CountValue(); }
  bool number_integer(number_integer_t) override { return CountValue(); }
  bool number_unsigned(number_unsigned_t) override { return CountValue(); }
  bool number_float(number_float_t, const string_t&) override {
    return CountValue();
  }
  bool string(string_t&) override { return CountValue(); }
  bool binary(binary_t&) override { return CountValue(); }
  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }

  bool key(string_t& key) override {
    Level& level = levels_.back();
    if (!level.keys.insert(key).second) {
      std::string path;
      for (const Level& outer : levels_) {
        if (!outer.key.empty() && &outer != &level) {
          absl::StrAppend(&path, outer.key, ".");
        }
      }
      return Fail(
          absl::StrCat(path, absl::Utf8SafeCHexEscape(key.substr(0, kKeyShown)),
                       ": the key stands there twice"));
    }
    level.key = absl::Utf8SafeCHexEscape(key.substr(0, kKeyShown));
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("malformed JSON at byte ", position));
  }

 private:
  static constexpr size_t kKeyShown = 64;  // bytes of a key in a message

  struct Level {
    absl::flat_hash_set<std::string> keys;  // empty in an array
    std::string key;                        // the last one, for messages
  };

  bool Fail(std::string fault) {
    fault_ = std::move(fault);
    return false;
  }
  bool CountValue() {
    if (++values_ <= kMaxJsonValues) return true;
    return Fail(absl::StrCat("more than ", kMaxJsonValues, " JSON values"));
  }
  bool Open() {
    if (levels_.size() == kMaxJsonDepth) {
      return Fail(
          absl::StrCat("JSON nested more than ", kMaxJsonDepth, " deep"));
    }
    levels_.emplace_back();
    return CountValue();
  }
  bool Close() {
    levels_.pop_back();
    return true;
  }

  std::string fault_;
  std::vector<Level> levels_;
  size_t values_ = 0;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view json,
                                         absl::string_view name) {
  if (json.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", json.size(),
                                                   " bytes; at most ",
                                                   kMaxJsonBytes, " are read"));
  }
  LimitChecker checker;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &checker)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", checker.fault()));
  }
  nlohmann::json value =
      nlohmann::json::parse(json.begin(), json.end(), nullptr,
                            /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": malformed JSON"));
  }
  return value;
}

}  // namespace tlin
