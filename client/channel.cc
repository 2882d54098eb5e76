#include "client/channel.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/client_interceptor.h"

namespace tlin::client {
namespace {

// Call credentials would do the same, but not without TLS, which a proxy beside
// the client or a loopback address has no need of.
class AddToken final : public grpc::experimental::Interceptor {
 public:
  explicit AddToken(const std::string& token)
      : header_(absl::StrCat("Bearer ", token)) {}

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", header_});
    }
    methods->Proceed();
  }

 private:
  const std::string header_;
};

class AddTokenFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit AddTokenFactory(const std::string& token) : token_(token) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new AddToken(token_);
  }

 private:
  const std::string token_;
};

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const Connection& connection) {
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::InsecureChannelCredentials();
  grpc::ChannelArguments arguments;
  if (connection.tls) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = connection.root_certificates;
    options.pem_cert_chain = connection.certificate;
    options.pem_private_key = connection.key;
    credentials = grpc::SslCredentials(options);
    if (!connection.server_name.empty()) {
      arguments.SetSslTargetNameOverride(connection.server_name);
    }
  }
  if (connection.token.empty()) {
    return grpc::CreateCustomChannel(connection.address, credentials,
                                     arguments);
  }
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<AddTokenFactory>(connection.token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      connection.address, credentials, arguments, std::move(interceptors));
}

}  // namespace tlin::client
