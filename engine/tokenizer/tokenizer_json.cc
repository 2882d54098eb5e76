#include "engine/tokenizer/tokenizer_json.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/json_parser.h"

namespace tlin {
namespace {

using Json = nlohmann::json;

// One JSON object of the file, read field by field.
class Fields {
 public:
  // `path` is the object's own field, empty for the file's outermost. Borrows
  // all.
  Fields(absl::string_view name, std::string path, Json* object)
      : name_(name), path_(std::move(path)), object_(object) {}

  absl::string_view name() const { return name_; }

  absl::Status Error(absl::string_view field, absl::string_view message) const {
    return TokenizerFieldError(name_, Path(field), message);
  }

  // Null where the field is missing or JSON's null.
  Json* Find(const char* field) const {
    const auto it = object_->find(field);
    return it == object_->end() || it->is_null() ? nullptr : &*it;
  }

  absl::StatusOr<bool> Bool(const char* field) const {
    Json* value = Find(field);
    if (value == nullptr) return Error(field, "missing");
    if (!value->is_boolean()) return Error(field, "want true or false");
    return value->get<bool>();
  }
  absl::StatusOr<bool> Bool(const char* field, bool when_missing) const {
    return Find(field) == nullptr ? when_missing : Bool(field);
  }

  absl::StatusOr<TokenId> Id(const char* field) const {
    Json* value = Find(field);
    if (value == nullptr) return Error(field, "missing");
    const absl::StatusOr<TokenId> id = ToId(*value);
    return id.ok() ? id : Error(field, id.status().message());
  }

  // The message alone in the error: the caller knows the field.
  static absl::StatusOr<TokenId> ToId(const Json& value) {
    if (!value.is_number_unsigned() ||
        value.get<uint64_t>() > static_cast<uint64_t>(kMaxTokenId)) {
      return absl::InvalidArgumentError(
          absl::StrCat("want an integer id from 0 to ", kMaxTokenId));
    }
    return static_cast<TokenId>(value.get<uint64_t>());
  }

  // An object or array that has to be there.
  absl::StatusOr<Json*> Part(const char* field, Json::value_t type) const {
    Json* value = Find(field);
    if (value == nullptr) return Error(field, "missing");
    if (value->type() != type) {
      return Error(field, type == Json::value_t::object ? "want an object"
                                                        : "want an array");
    }
    return value;
  }

  // A part that says {"type": `type`}.
  absl::StatusOr<Fields> Typed(const char* field,
                               absl::string_view type) const {
    TLIN_ASSIGN_OR_RETURN(Json * part, Part(field, Json::value_t::object));
    Fields fields(name_, Path(field), part);
    TLIN_RETURN_IF_ERROR(fields.WantType(type));
    return fields;
  }
  absl::Status WantType(absl::string_view type) const {
    const Json* value = Find("type");
    if (value == nullptr) return Error("type", "missing");
    if (!value->is_string() || value->get_ref<const std::string&>() != type) {
      return Error("type", absl::StrCat("only \"", type, "\" is supported"));
    }
    return absl::OkStatus();
  }

  absl::Status WantNull(const char* field, const char* reason) const {
    if (Find(field) == nullptr) return absl::OkStatus();
    return Error(field, absl::StrCat("only null is supported: ", reason));
  }
  absl::Status WantNullOrEmpty(const char* field, const char* reason) const {
    const Json* value = Find(field);
    if (value != nullptr && *value == "") return absl::OkStatus();
    return WantNull(field, reason);
  }
  absl::Status WantFalse(const char* field, const char* reason) const {
    TLIN_ASSIGN_OR_RETURN(const bool value, Bool(field));
    if (!value) return absl::OkStatus();
    return Error(field, absl::StrCat("only false is supported: ", reason));
  }

 private:
  std::string Path(absl::string_view field) const {
    return path_.empty() ? std::string(field) : absl::StrCat(path_, ".", field);
  }

  absl::string_view name_;
  std::string path_;
  Json* object_;  // not owned
};

absl::Status ReadVocab(const Fields& model, TokenizerSpec* spec) {
  TLIN_ASSIGN_OR_RETURN(Json * vocab,
                        model.Part("vocab", Json::value_t::object));
  spec->vocab.reserve(vocab->size());
  for (const auto& item : vocab->items()) {
    const auto error = [&](absl::string_view message) {
      return model.Error(absl::StrCat("vocab.", QuotedToken(item.key())),
                         message);
    };
    if (item.key().size() > kMaxTokenBytes) {
      return error(absl::StrCat("longer than ", kMaxTokenBytes, " bytes"));
    }
    const absl::StatusOr<TokenId> id = Fields::ToId(item.value());
    if (!id.ok()) return error(id.status().message());
    spec->vocab.push_back({item.key(), *id});
  }
  return absl::OkStatus();
}

// "left right", or ["left", "right"] as newer files have it.
bool ReadMerge(Json* value, TokenizerSpec::Merge* merge) {
  if (value->is_string()) {
    const auto& both = value->get_ref<const std::string&>();
    const size_t space = both.find(' ');
    if (space == std::string::npos || space != both.rfind(' ')) return false;
    *merge = {both.substr(0, space), both.substr(space + 1)};
    return true;
  }
  if (!value->is_array() || value->size() != 2) return false;
  Json& left = (*value)[0];
  Json& right = (*value)[1];
  if (!left.is_string() || !right.is_string()) return false;
  *merge = {std::move(left.get_ref<std::string&>()),
            std::move(right.get_ref<std::string&>())};
  return true;
}

absl::Status ReadMerges(const Fields& model, TokenizerSpec* spec) {
  TLIN_ASSIGN_OR_RETURN(Json * merges,
                        model.Part("merges", Json::value_t::array));
  spec->merges.resize(merges->size());
  for (size_t i = 0; i < merges->size(); ++i) {
    if (!ReadMerge(&(*merges)[i], &spec->merges[i])) {
      return model.Error(absl::StrCat("merges[", i, "]"),
                         "want \"left right\" or [\"left\", \"right\"]");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const Fields& file, TokenizerSpec* spec) {
  TLIN_ASSIGN_OR_RETURN(Json * part, file.Part("model", Json::value_t::object));
  // GPT-2's own file is older than this field.
  if (part->contains("type")) {
    TLIN_RETURN_IF_ERROR(file.Typed("model", "BPE").status());
  }
  const Fields model(file.name(), "model", part);
  const Json* dropout = model.Find("dropout");
  if (dropout != nullptr && *dropout != 0.0) {
    return model.Error("dropout", "only null or 0 is supported");
  }
  constexpr char kWhole[] = "byte-level tokens are not marked within words";
  TLIN_RETURN_IF_ERROR(
      model.WantNullOrEmpty("continuing_subword_prefix", kWhole));
  TLIN_RETURN_IF_ERROR(model.WantNullOrEmpty("end_of_word_suffix", kWhole));
  // `unk_token`, `fuse_unk` and `byte_fallback` are for characters that the
  // vocabulary lacks: there are none where it has all 256 bytes.
  TLIN_ASSIGN_OR_RETURN(spec->ignore_merges,
                        model.Bool("ignore_merges", false));
  TLIN_RETURN_IF_ERROR(ReadVocab(model, spec));
  return ReadMerges(model, spec);
}

absl::Status ReadAddedToken(const Fields& fields, TokenizerSpec* spec) {
  const Json* content = fields.Find("content");
  if (content == nullptr || !content->is_string()) {
    return fields.Error("content", "want a string");
  }
  TokenizerSpec::AddedToken token;
  token.content = content->get_ref<const std::string&>();
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
    return fields.Error(
        "content", absl::StrCat("want 1 to ", kMaxAddedTokenBytes, " bytes"));
  }
  TLIN_ASSIGN_OR_RETURN(token.id, fields.Id("id"));
  constexpr char kLoss[] = "decoding would not give back the text";
  TLIN_RETURN_IF_ERROR(fields.WantFalse("lstrip", kLoss));
  TLIN_RETURN_IF_ERROR(fields.WantFalse("rstrip", kLoss));
  TLIN_RETURN_IF_ERROR(
      fields.WantFalse("single_word", "a token is matched wherever it stands"));
  TLIN_ASSIGN_OR_RETURN(token.normalized, fields.Bool("normalized"));
  TLIN_ASSIGN_OR_RETURN(token.special, fields.Bool("special"));
  spec->added_tokens.push_back(std::move(token));
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const Fields& file, TokenizerSpec* spec) {
  if (file.Find("added_tokens") == nullptr) return absl::OkStatus();
  TLIN_ASSIGN_OR_RETURN(Json * tokens,
                        file.Part("added_tokens", Json::value_t::array));
  for (size_t i = 0; i < tokens->size(); ++i) {
    const std::string field = absl::StrCat("added_tokens[", i, "]");
    Json& token = (*tokens)[i];
    if (!token.is_object()) return file.Error(field, "want an object");
    TLIN_RETURN_IF_ERROR(
        ReadAddedToken(Fields(file.name(), field, &token), spec));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TokenizerFieldError(absl::string_view name,
                                 absl::string_view field,
                                 absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", field, ": ", message));
}

std::string QuotedToken(absl::string_view token) {
  constexpr size_t kShown = 64;  // bytes
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(token.substr(0, kShown)),
                      token.size() > kShown ? "...\"" : "\"");
}

absl::StatusOr<TokenizerSpec> ReadTokenizerJson(absl::string_view json,
                                                absl::string_view name) {
  TLIN_ASSIGN_OR_RETURN(Json root, ParseJson(json, name));
  if (!root.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": want a JSON object"));
  }
  const Fields file(name, "", &root);
  const Json* version = file.Find("version");
  if (version != nullptr && *version != "1.0") {
    return file.Error("version", "only \"1.0\" is supported");
  }
  TLIN_RETURN_IF_ERROR(
      file.WantNull("truncation", "the engine limits prompts"));
  TLIN_RETURN_IF_ERROR(file.WantNull("padding", "sequences are not padded"));
  TLIN_RETURN_IF_ERROR(
      file.WantNull("normalizer", "decoding would not give back the text"));
  TokenizerSpec spec;
  TLIN_ASSIGN_OR_RETURN(const Fields pre_tokenizer,
                        file.Typed("pre_tokenizer", "ByteLevel"));
  TLIN_ASSIGN_OR_RETURN(spec.add_prefix_space,
                        pre_tokenizer.Bool("add_prefix_space"));
  TLIN_ASSIGN_OR_RETURN(spec.use_regex, pre_tokenizer.Bool("use_regex", true));
  // A ByteLevel post-processor moves offsets only; others add tokens.
  if (file.Find("post_processor") != nullptr) {
    TLIN_RETURN_IF_ERROR(file.Typed("post_processor", "ByteLevel").status());
  }
  TLIN_RETURN_IF_ERROR(file.Typed("decoder", "ByteLevel").status());
  TLIN_RETURN_IF_ERROR(ReadModel(file, &spec));
  TLIN_RETURN_IF_ERROR(ReadAddedTokens(file, &spec));
  return spec;
}

}  // namespace tlin
