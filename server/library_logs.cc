#include "server/library_logs.h"

#include "engine/base/log.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"

namespace tlin {
namespace {

void LogGrpc(gpr_log_func_args* args) {
  const Severity severity = args->severity == GPR_LOG_SEVERITY_ERROR
                                ? Severity::kError
                                : Severity::kInfo;
  StderrLogger().Log(severity, "gRPC",
                     {{"detail", absl::string_view(args->message)},
                      {"file", absl::string_view(args->file)},
                      {"line", int64_t{args->line}}});
}

}  // namespace

void LogLibrariesAsJson() {
  gpr_set_log_function(&LogGrpc);
  google::protobuf::SetLogHandler(nullptr);
}

}  // namespace tlin
