package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// APIProvider is a service that keys open: where it is, how a key is presented to it, and how an agent is told about both.
// It is data: an admin adds a provider by writing one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=apiproviders,categories=sandkeep
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.endpoints[0].host`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type APIProvider struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec describes the service.
	//
	// +required
	Spec APIProviderSpec `json:"spec,omitzero"`
	// status says whether the description is usable.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status ObjectStatus `json:"status,omitzero"`
}

// APIProviderList is a list of APIProviders.
//
// +kubebuilder:object:root=true
type APIProviderList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []APIProvider `json:"items"`
}

// APIProviderSpec describes a service that keys open.
type APIProviderSpec struct {
	// endpoints are where the service is; agents are told the first one.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// routes are the requests that the gateway lets through; everything else is answered with 404 or 405. When unset, none is, and
	// keys for this service can be delivered by Env or File only.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Routes []Route `json:"routes,omitempty"`
	// auth says how a key is presented to the service. When unset, it is "Authorization: Bearer <key>".
	//
	// +optional
	Auth *ProviderAuth `json:"auth,omitempty"`
	// usage is the format in which the service says what an answer used. When unset, requests are counted, and no tokens.
	//
	// +optional
	Usage UsageFormat `json:"usage,omitempty"`
	// tokenKinds tell kinds of keys apart by their shape; the first that matches counts. A key that matches none is of no known
	// kind, and allowed. When unset, no key is of a known kind.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	TokenKinds []TokenKind `json:"tokenKinds,omitempty"`
	// agentConfig tells agents where the service is and how to present the key.
	//
	// +required
	AgentConfig AgentConfig `json:"agentConfig,omitzero"`
}

// Route is one kind of request.
type Route struct {
	// method is the HTTP method.
	//
	// +required
	Method RouteMethod `json:"method,omitempty"`
	// path is the path of the request at the service, such as /v1/messages. A star stands for any characters of one part,
	// as in /v1beta/models/*:generateContent. It is compared after normalisation: paths with empty parts, dots or encoded slashes never match.
	//
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=160
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(/[A-Za-z0-9_.:*-]+)+$') && self.split('/').all(p, p != '.' && p != '..' && p.indexOf('*') == p.lastIndexOf('*'))`,message="path must begin with '/' and consist of parts of letters, digits, '_', '.', ':', '-', with at most one '*' in each, without '.' or '..'",reason=FieldValueForbidden
	Path string `json:"path,omitempty"`
}

// RouteMethod is a method of HTTP that can be let through.
//
// +kubebuilder:validation:Enum=GET;POST
type RouteMethod string

// The methods.
const (
	RouteMethodGet  RouteMethod = "GET"
	RouteMethodPost RouteMethod = "POST"
)

// ProviderAuth says how credentials are presented.
//
// +kubebuilder:validation:MinProperties=1
type ProviderAuth struct {
	// apiKey is the way of API keys. When unset, it is "Authorization: Bearer <key>".
	//
	// +optional
	APIKey *HeaderAuth `json:"apiKey,omitempty"`
}

// HeaderAuth presents a credential in a header.
type HeaderAuth struct {
	// header is the name of the header, such as x-api-key.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]+$') && !(self.lowerAscii() in ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'cookie'])",message="header must be the name of a header for credentials: letters, digits and '-'",reason=FieldValueForbidden
	Header string `json:"header,omitempty"`
	// prefix stands before the key, with a blank where one is wanted, such as "Bearer ". When unset, there is none.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+ ?$')",message="prefix must be a word, such as 'Bearer '",reason=FieldValueForbidden
	Prefix string `json:"prefix,omitempty"`
}

// UsageFormat is a format of what an answer used. AnthropicMessages is that of the Messages API, OpenAI that of Responses and Chat Completions,
// Gemini that of generateContent.
//
// +kubebuilder:validation:Enum=AnthropicMessages;OpenAI;Gemini
type UsageFormat string

// The formats.
const (
	UsageFormatAnthropicMessages UsageFormat = "AnthropicMessages"
	UsageFormatOpenAI            UsageFormat = "OpenAI"
	UsageFormatGemini            UsageFormat = "Gemini"
)

// TokenKind is a kind of key, recognised by its shape.
type TokenKind struct {
	// name is what the kind is called, such as api-key. A denied kind called subscription-token is told as SubscriptionTokenRefused.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="name must consist of lower case letters, digits and '-'",reason=FieldValueForbidden
	Name string `json:"name,omitempty"`
	// prefix is what keys of this kind begin with, such as sk-ant-api.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$') && self.size() <= 24",message="prefix must be the beginning of a kind of key, never a key: at most 24 letters, digits, '_', '.' and '-'",reason=FieldValueForbidden
	Prefix string `json:"prefix,omitempty"`
	// policy is Deny when keys of this kind must not be used. When unset, it is Allow.
	//
	// +optional
	// +kubebuilder:default=Allow
	Policy TokenPolicy `json:"policy,omitempty"`
}

// TokenKindSubscription is the name of the kind of tokens that stand for a person's own subscription.
const TokenKindSubscription = "subscription-token"

// TokenKindUnknown is what status says of a key that is of none of the kinds of its provider. No kind can have that name, since names are in lower case.
const TokenKindUnknown = "Unknown"

// TokenPolicy says whether a kind of key may be used.
//
// +kubebuilder:validation:Enum=Allow;Deny
type TokenPolicy string

// The policies.
const (
	TokenPolicyAllow TokenPolicy = "Allow"
	TokenPolicyDeny  TokenPolicy = "Deny"
)

// Endpoint is an address of a service.
//
// +kubebuilder:validation:XValidation:rule="self.scheme == 'https' || (has(self.allowPrivate) && self.allowPrivate)",message="scheme must be https; http is for a service inside your own network, which allowPrivate says"
type Endpoint struct {
	// scheme is https, or, for a private service, http. When unset, it is https.
	//
	// +optional
	// +kubebuilder:default=https
	Scheme EndpointScheme `json:"scheme,omitempty"`
	// host is a DNS name or an IPv4 address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="host must be a DNS name in lower case, without scheme, port or path",reason=FieldValueForbidden
	Host string `json:"host,omitempty"`
	// port is the TCP port. When unset, it is 443 for https and 80 for http.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// allowPrivate says that the service is in your own network: http and private addresses are then accepted. When unset, it is false.
	//
	// +optional
	AllowPrivate *bool `json:"allowPrivate,omitempty"`
	// caBundle are the certificates, in PEM, that sign the service's own, in place of those of the public authorities. When unset, the
	// public ones count.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----') && !self.contains('PRIVATE KEY')",message="caBundle must be certificates in PEM, without a private key",reason=FieldValueForbidden
	CABundle string `json:"caBundle,omitempty"`
}

// EndpointScheme is the scheme of an endpoint.
//
// +kubebuilder:validation:Enum=https;http
type EndpointScheme string

// The schemes.
const (
	EndpointSchemeHTTPS EndpointScheme = "https"
	EndpointSchemeHTTP  EndpointScheme = "http"
)

// AgentConfig tells agents where a service is and how to present its key. In values and contents, $(API_KEY) stands for the
// key, $(API_KEY_FILE) for the path of the file that holds it, and $(BASE_URL) for the address of the service without a
// final slash. What speaks of $(API_KEY) is used with the delivery of its own kind only: variables with Env, files with File.
// With Proxy, $(BASE_URL) is the sandbox's own door to the gateway, variables get a placeholder for $(API_KEY), and files that speak of it are
// left out.
//
// +kubebuilder:validation:MinProperties=1
type AgentConfig struct {
	// env is set for every agent. Variables named here are taken away from agents that get no credential of this provider.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Env []EnvVar `json:"env,omitempty"`
	// files are written for every agent.
	//
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Files []AgentFile `json:"files,omitempty"`
	// agents adds to env and files, or replaces entries of them, for agents of one name.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Agents []NamedAgentConfig `json:"agents,omitempty"`
	// unsetEnv names further variables that present another kind of credential to this service. They are taken away from
	// every agent, whatever the image or a Session brings, so that one kind of credential reaches it. When unset, there are none.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	UnsetEnv []string `json:"unsetEnv,omitempty"`
}

// NamedAgentConfig is what agents of one name are told.
type NamedAgentConfig struct {
	// name is spec.agent.name of the classes that this is for.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// env is added; a variable of the same name is replaced.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Env []EnvVar `json:"env,omitempty"`
	// files are added; a file of the same path is replaced.
	//
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Files []AgentFile `json:"files,omitempty"`
}

// AgentFile is a file in the home of an agent. It is kept on a memory-backed volume with mode 0600.
type AgentFile struct {
	// path is relative to the home.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._/-]+$') && self.split('/').all(p, p != '' && p != '.' && p != '..')",message="path must stay in the home: relative, of letters, digits, '.', '_', '-' and '/', without '.', '..' or empty parts",reason=FieldValueForbidden
	Path string `json:"path,omitempty"`
	// content is the text of the file.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Content string `json:"content,omitempty"`
}
