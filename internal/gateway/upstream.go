package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/gateway/dial"
	"github.com/sandkeep/sandkeep/internal/gateway/echo"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
	"github.com/sandkeep/sandkeep/internal/gateway/route"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// Bounds of connections to providers.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	// answerTimeout is how long a model may think before it begins to answer.
	answerTimeout   = 10 * time.Minute
	idleConnections = 256
	// pingAfter is how long an HTTP/2 connection may say nothing before the provider is asked whether it is still there, pongTime what the answer may take:
	// one that has vanished without a word would hold a request for answerTimeout, and all that share its connection.
	pingAfter = 20 * time.Second
	pongTime  = 15 * time.Second
)

// upstreams are the ways to providers, by provider.
type upstreams struct {
	mutex  sync.Mutex
	byName map[string]upstream
}

// upstream is what is made of the description of a provider, once for each version of it.
type upstream struct {
	uid       types.UID
	version   string
	endpoint  v1alpha1.Endpoint
	routes    route.Table
	transport *http.Transport
	// broken is why there is no transport.
	broken error
}

// to is the way to the provider of a grant. Its connections are made anew when its endpoint has changed.
func (u *upstreams) to(g grant.Grant, forbidden dial.Prefixes) upstream {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	p := g.Provider
	have, ok := u.byName[p.Name]
	if ok && have.uid == p.UID && have.version == p.ResourceVersion {
		return have
	}
	made := upstream{uid: p.UID, version: p.ResourceVersion, endpoint: *g.Endpoint.DeepCopy(), routes: routesOf(p)}
	if ok && have.transport != nil && equality.Semantic.DeepEqual(have.endpoint, g.Endpoint) {
		made.transport = have.transport
	} else {
		made.transport, made.broken = newTransport(g.Endpoint, forbidden)
		have.close()
	}
	if u.byName == nil {
		u.byName = map[string]upstream{}
	}
	u.byName[p.Name] = made
	return made
}

// close ends the connections that nobody uses.
func (u upstream) close() {
	if u.transport != nil {
		u.transport.CloseIdleConnections()
	}
}

func routesOf(p *v1alpha1.APIProvider) route.Table {
	var patterns []route.Pattern
	for _, r := range p.Spec.Routes {
		patterns = append(patterns, route.Pattern{Method: string(r.Method), Path: r.Path})
	}
	return route.New(patterns)
}

func newTransport(e v1alpha1.Endpoint, forbidden dial.Prefixes) (*http.Transport, error) {
	config, err := trust(e)
	if err != nil {
		return nil, err
	}
	dialer := &dial.Dialer{
		AllowPrivate: e.AllowPrivate != nil && *e.AllowPrivate, ForbiddenNow: forbidden, Resolver: net.DefaultResolver, Timeout: dialTimeout,
	}
	return &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: handshakeTimeout, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: maxHeader,
		HTTP2:        &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pongTime},
		MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleTimeout,
	}, nil
}

// trust is how the provider's certificate is checked.
func trust(e v1alpha1.Endpoint) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.Host}
	if e.CABundle != "" {
		var ok bool
		if config.RootCAs, ok = dial.Authorities(e.CABundle); !ok {
			return nil, fmt.Errorf("the caBundle of endpoint %q holds no certificate; ask an admin to correct the provider", e.Host)
		}
	}
	return config, nil
}

// keys are what was read of Secrets.
type keys struct {
	mutex    sync.Mutex
	revision string
	tls      *tls.Certificate
	// detectors find keys in answers, one for each credential.
	detectors map[string]detector
}

type detector struct {
	revision string
	*echo.Detector
}

// maxDetectors bounds what is remembered. Making a detector anew costs less than a tenth of a millisecond.
const maxDetectors = 4096

// detector is made once for each revision of a key.
func (k *keys) detector(g grant.Grant, key, revision string) *echo.Detector {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	name := g.SecretNamespace + "/" + g.Secret.Name + "/" + g.Secret.Key
	if have, ok := k.detectors[name]; ok && have.revision == revision {
		return have.Detector
	}
	if k.detectors == nil || len(k.detectors) >= maxDetectors {
		k.detectors = map[string]detector{}
	}
	k.detectors[name] = detector{revision, echo.New(key)}
	return k.detectors[name].Detector
}

// pair is a serving certificate, parsed once for each version of its Secret.
func (k *keys) pair(secret *corev1.Secret) (*tls.Certificate, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.tls != nil && k.revision == secret.ResourceVersion {
		return k.tls, nil
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, err
	}
	k.revision, k.tls = secret.ResourceVersion, &pair
	return k.tls, nil
}

// read is the key of a grant and its revision, as they are now. Those of the keep are watched; those of a namespace are read one by one, where an
// admin permits that.
func (k *keys) read(ctx context.Context, s *Server, g grant.Grant) (key, revision string, refused *grant.Refusal) {
	reader := s.Live
	if g.SecretNamespace == v1alpha1.NamespaceKeys {
		reader = s.Cache
	}
	secret := &corev1.Secret{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: g.SecretNamespace, Name: g.Secret.Name}, secret, client.UnsafeDisableDeepCopy)
	if fault, known := faultOf(secret, err, g.Secret.Key, g.Provider.Spec.TokenKinds); known && g.Ref.Kind == v1alpha1.CredentialKindCredential {
		s.Witness.Looked(observation.Ref{Kind: g.Ref.Kind, Namespace: g.SecretNamespace, Name: g.Ref.Name}, g.Generation, fault)
	}
	if err != nil {
		return "", "", keyProblem(err, g)
	}
	if g.SecretNamespace == v1alpha1.NamespaceKeys && secret.Type != v1alpha1.SecretTypeAPIKey {
		return "", "", &grant.Refusal{Reason: v1alpha1.ReasonSecretNotFound, Message: "The Secret of the credential is not of type " + v1alpha1.SecretTypeAPIKey}
	}
	value, ok := secret.Data[g.Secret.Key]
	if !ok {
		return "", "", &grant.Refusal{Reason: v1alpha1.ReasonSecretNotFound, Message: fmt.Sprintf(
			"Secret %q in namespace %q has no entry %q; ask whoever manages it to add it", g.Secret.Name, g.SecretNamespace, g.Secret.Key)}
	}
	if problem := keep.Malformed(value); problem != "" {
		return "", "", &grant.Refusal{Reason: v1alpha1.ReasonKeyMalformed, Message: fmt.Sprintf(
			"Entry %q of Secret %q in namespace %q %s, so it is no key; put the bare key there", g.Secret.Key, g.Secret.Name, g.SecretNamespace, problem)}
	}
	kind := keep.TokenKindOf(g.Provider.Spec.TokenKinds, string(value))
	if reason := keep.DenialOf(kind); reason != "" {
		return "", "", &grant.Refusal{Reason: reason, Message: fmt.Sprintf(
			"The key of %s %q is of kind %q, which APIProvider %q does not permit; put a key of another kind into its Secret", g.Ref.Kind, g.Ref.Name, kind.Name, g.Provider.Name)}
	}
	return string(value), keep.Revision(secret), nil
}
