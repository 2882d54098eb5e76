// goldens.json and GPT-2's vocabulary, as tokenizer.json files in memory.
#ifndef TLIN_TESTS_TOKENIZER_GOLDEN_FILES_H_
#define TLIN_TESTS_TOKENIZER_GOLDEN_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace tlin {

// What make_fixtures.py wrote.
const nlohmann::json& Goldens();

// The tokenizer.json of a variant in goldens.json.
nlohmann::json VariantJson(const std::string& name);

// The variant's tokenizer. The test fails and the process ends where it does
// not load.
std::unique_ptr<Tokenizer> LoadVariant(const std::string& name);

std::string DecodeAll(const Tokenizer& tokenizer,
                      const std::vector<TokenId>& ids);

// A file of the corpus, decompressed by `xz`. Says why on stderr and ends the
// process where that fails.
std::string ReadCorpus(const std::string& file);

inline constexpr uint64_t kFnvStart = 0xCBF29CE484222325;

// FNV-1a-64 over little-endian int32s, continued from `hash`.
uint64_t Fnv1a(uint64_t hash, const std::vector<int32_t>& integers);

}  // namespace tlin

#endif  // TLIN_TESTS_TOKENIZER_GOLDEN_FILES_H_
