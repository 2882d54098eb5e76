// A load's figures, for people and for programs.
#ifndef TLIN_CLIENT_LOAD_REPORT_H_
#define TLIN_CLIENT_LOAD_REPORT_H_

#include <ostream>
#include <string>

#include "client/load_flags.h"
#include "client/load_run.h"

namespace tlin::client {

// One line; durations in seconds.
std::string LoadJson(const LoadOptions& options, const LoadResult& result);

void PrintLoad(const LoadResult& result, std::ostream& out);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_REPORT_H_
