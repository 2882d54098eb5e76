#include "tests/tokenizer/golden_files.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>

namespace tlin {
namespace {

const std::string& Folder() {
  static const auto* folder =
      new std::string(TLIN_SOURCE_DIR "/tests/tokenizer/");
  return *folder;
}

[[noreturn]] void Die(const std::string& why) {
  std::cerr << why << "\n";
  std::abort();
}

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) Die("cannot read " + path);
  return nlohmann::json::parse(file);
}

nlohmann::json Gpt2Json() {
  nlohmann::json json = Goldens()["gpt2_frame"];
  json["model"]["vocab"] = ReadJson(Folder() + "gpt2/vocab.json");
  std::ifstream merges(Folder() + "gpt2/merges.txt");
  std::string line;
  std::getline(merges, line);  // "#version: 0.2"
  while (std::getline(merges, line)) json["model"]["merges"].push_back(line);
  return json;
}

}  // namespace

const nlohmann::json& Goldens() {
  static const auto* goldens =
      new nlohmann::json(ReadJson(Folder() + "goldens.json"));
  return *goldens;
}

nlohmann::json VariantJson(const std::string& name) {
  const nlohmann::json& variant = Goldens()["variants"][name];
  nlohmann::json json =
      variant["base"] == "gpt2" ? Gpt2Json() : Goldens()["small"];
  json.merge_patch(variant["patch"]);
  return json;
}

std::unique_ptr<Tokenizer> LoadVariant(const std::string& name) {
  auto tokenizer = Tokenizer::Parse(VariantJson(name).dump(), name);
  if (!tokenizer.ok()) Die(tokenizer.status().ToString());
  return *std::move(tokenizer);
}

std::string DecodeAll(const Tokenizer& tokenizer,
                      const std::vector<TokenId>& ids) {
  std::string bytes;
  for (const TokenId id : ids) {
    const absl::string_view token = tokenizer.Bytes(id);
    bytes.append(token.data(), token.size());
  }
  return bytes;
}

std::string ReadCorpus(const std::string& file) {
  const std::string path = TLIN_SOURCE_DIR "/deploy/models/corpus/" + file;
  FILE* pipe = popen(("xz --decompress --stdout '" + path + "'").c_str(), "r");
  if (pipe == nullptr) Die("cannot start xz");
  std::string text;
  char buffer[1 << 16];
  for (size_t got; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    text.append(buffer, got);
  }
  if (pclose(pipe) != 0) {
    Die("xz could not decompress " + path +
        ": is the program xz (package xz-utils) installed?");
  }
  return text;
}

uint64_t Fnv1a(uint64_t hash, const std::vector<int32_t>& integers) {
  for (const int32_t integer : integers) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((static_cast<uint32_t>(integer) >> shift) & 0xFF)) *
             0x100000001B3;
    }
  }
  return hash;
}

}  // namespace tlin
