// Makes weight files for tests.
#ifndef TLIN_TESTS_TESTING_SAFETENSORS_WRITER_H_
#define TLIN_TESTS_TESTING_SAFETENSORS_WRITER_H_

#include <string>

#include "engine/model/tensor_map.h"

namespace tlin {

// A whole safetensors file. `header_padding` spaces follow the header; a number
// that is not a multiple of 4 makes the tensors' data misaligned.
std::string MakeSafetensors(const TensorMap& tensors, int header_padding = 0);

// Writes a file into the system's temporary folder, with a name of this
// process's own, and returns the path. Dies on failure.
std::string WriteTestFile(const std::string& name, const std::string& bytes);

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_SAFETENSORS_WRITER_H_
