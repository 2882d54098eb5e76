#include "server/credentials.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tlin {

absl::StatusOr<std::unique_ptr<Credentials>> Credentials::Open(
    const CredentialOptions& options, Clock* clock, Logger* logger) {
  std::unique_ptr<SecretFile> tokens;
  if (!options.token_file.empty()) {
    auto opened = SecretFile::Open(options.token_file, clock, logger);
    if (!opened.ok()) {
      return absl::Status(
          opened.status().code(),
          absl::StrCat("--token_file: ", opened.status().message()));
    }
    tokens = *std::move(opened);
  }
  return absl::WrapUnique(
      new Credentials(options.client_certificates, std::move(tokens)));
}

absl::StatusOr<Caller> Credentials::Identify(
    const grpc::ServerContextBase& context) const {
  const std::string certified = CertifiedName(context);
  if (tokens_ != nullptr) {
    const auto& metadata = context.client_metadata();
    const auto header = metadata.find("authorization");
    if (header == metadata.end()) {
      return absl::UnauthenticatedError(
          "authorization: is missing; want Bearer TOKEN");
    }
    const absl::string_view token = BearerToken(
        absl::string_view(header->second.data(), header->second.size()));
    if (token.empty()) {
      return absl::UnauthenticatedError("authorization: want Bearer TOKEN");
    }
    std::optional<std::string> name = tokens_->NameOf(token);
    if (!name.has_value()) {
      return absl::UnauthenticatedError("authorization: no such token");
    }
    return Caller{*name, OwnerOf(*name)};
  }
  if (client_certificates_) {
    if (certified.empty()) {
      return absl::UnauthenticatedError("the client's certificate has no name");
    }
    return Caller{certified, OwnerOf(certified)};
  }
  return Caller{std::string(HostOfPeer(context.peer())), ""};
}

absl::string_view BearerToken(absl::string_view header) {
  constexpr absl::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(header, kScheme)) return "";
  return absl::StripAsciiWhitespace(header.substr(kScheme.size()));
}

}  // namespace tlin
