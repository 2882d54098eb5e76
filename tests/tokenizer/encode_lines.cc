// Reads a JSON string a line from stdin, writes its tokens as a JSON array a
// line. Usage: tlin_encode_lines TOKENIZER_JSON
#include <iostream>
#include <string>

#include "engine/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " TOKENIZER_JSON\n";
    return 2;
  }
  const auto tokenizer = tlin::Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status() << "\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line, nullptr, false);
    if (!text.is_string()) {
      std::cerr << "not a JSON string: " << line << "\n";
      return 1;
    }
    const auto ids = (*tokenizer)->Encode(text.get_ref<const std::string&>());
    std::cout << nlohmann::json(ids).dump() << "\n";
  }
  return 0;
}
