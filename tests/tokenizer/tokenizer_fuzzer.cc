// libFuzzer: a tokenizer.json of any bytes, and text of any bytes through it.
//
// Input: the file up to the first 0xFF byte, which no JSON has; the text after
// it. The first byte, if it is '+', stands for a whole vocabulary of bytes, so
// that the fuzzer need not find 256 tokens by itself: what follows patches that
// file.
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/tokenizer/stream_decoder.h"
#include "engine/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace {

// GPT-2's alphabet and nothing else; byte b has the id b.
nlohmann::json ByteVocabularyFile() {
  nlohmann::json file = {
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"merges", nlohmann::json::array()}}}};
  int next = 0x100;
  for (int byte = 0; byte < 0x100; ++byte) {
    const bool itself =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    const int c = itself ? byte : next++;
    std::string spelled;
    if (c < 0x80) {
      spelled = {static_cast<char>(c)};
    } else {
      spelled = {static_cast<char>(0xC0 | c >> 6),
                 static_cast<char>(0x80 | (c & 0x3F))};
    }
    file["model"]["vocab"][spelled] = byte;
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* base = new nlohmann::json(ByteVocabularyFile());
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\xFF');
  std::string json = input.substr(0, end);
  const std::string text =
      end == std::string::npos ? std::string() : input.substr(end + 1);
  if (!json.empty() && json[0] == '+') {
    const auto patch = nlohmann::json::parse(json.substr(1), nullptr,
                                             /*allow_exceptions=*/false);
    nlohmann::json file = *base;
    if (patch.is_object()) file.merge_patch(patch);
    json = file.dump();
  }
  const auto tokenizer = tlin::Tokenizer::Parse(json, "fuzz.json");
  if (!tokenizer.ok()) {
    TLIN_CHECK(!tokenizer.status().message().empty());
    return 0;
  }
  std::string bytes;
  std::string streamed;
  tlin::StreamDecoder decoder;
  for (const tlin::TokenId id : (*tokenizer)->Encode(text)) {
    TLIN_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
    const absl::string_view token = (*tokenizer)->Bytes(id);
    bytes.append(token.data(), token.size());
    decoder.Append(token, &streamed);
  }
  decoder.Flush(&streamed);
  // add_prefix_space is the one thing that changes the text.
  if (nlohmann::json::parse(json)["pre_tokenizer"]["add_prefix_space"] ==
      false) {
    TLIN_CHECK(bytes == text);
  }
  return 0;
}
