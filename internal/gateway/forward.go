package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/dial"
	"github.com/sandkeep/sandkeep/internal/gateway/echo"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
	"github.com/sandkeep/sandkeep/internal/gateway/route"
	"github.com/sandkeep/sandkeep/internal/gateway/strip"
	"github.com/sandkeep/sandkeep/internal/owner"
)

// exchange is one request to a provider, on its way there and back.
type exchange struct {
	*Server
	caller   identity.Caller
	grant    grant.Grant
	upstream upstream
	path     string
	key      string
	revision string
	detector *echo.Detector
	format   meter.Format
	// allow are the methods of a path that is known, where the request had another one (RFC 9110, section 15.5.6).
	allow []string
	// credentialHeaders are those by which any provider takes credentials: an agent might have one of another.
	credentialHeaders []string
	// confirmed is when it was last known that the request is permitted.
	confirmed time.Time
	// body is that of the request; nil where there is none.
	body *body
	// agent is the context of the agent's own request, which ends when the agent goes; that to the provider may go on.
	agent   context.Context //nolint:containedctx // it is looked at from callbacks of net/http
	parting parting
	// used are the tokens that the answer cost, once settle has returned: of a WebSocket, somebody may still be counting when the exchange ends.
	used   int64
	settle func()
	// upgrade is true for a request to speak WebSocket from here on; answered, once the answer is being counted.
	upgrade, answered bool
}

// cutProvider takes the name of the provider and the path there from what stood in the request's first line, byte for byte: net/url would encode odd
// paths anew, and an encoded slash become a real one.
func cutProvider(target string) (provider, path string, ok bool) {
	escaped, _, _ := strings.Cut(target, "?")
	rest, ok := strings.CutPrefix(escaped, contract.GatewayProviders)
	if !ok {
		return "", "", false
	}
	provider, path, _ = strings.Cut(rest, "/")
	return provider, "/" + path, provider != ""
}

// forward sends a request to its provider, if the caller may.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, caller identity.Caller, provider, escaped string) {
	x, refused := s.permit(r, caller, provider, escaped)
	if refused != nil {
		s.Metrics.refused(caller.Session, provider, refused.kind)
		if x.allow != nil {
			w.Header().Set("Allow", strings.Join(x.allow, ", "))
		}
		s.refuse(w, x.format, *refused)
		return
	}
	pass, refused := x.enter(r.Context())
	if refused != nil {
		s.Metrics.refused(caller.Session, provider, refused.kind)
		s.refuse(w, x.format, *refused)
		return
	}
	defer func() { x.settle(); pass.Done(x.used) }()
	proxy := &httputil.ReverseProxy{
		Rewrite: x.rewrite, Transport: x.upstream.transport, FlushInterval: -1, ErrorLog: quietLog(),
		ModifyResponse: x.answer, ErrorHandler: x.failed, BufferPool: &s.buffers,
	}
	x.body, _ = r.Body.(*body)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	x.agent, x.parting.end = r.Context(), cancel
	defer x.parting.over()
	defer context.AfterFunc(x.agent, func() {
		if errors.Is(context.Cause(x.agent), errStopped) {
			x.parting.leave(errStopped, stoppedTime)
			return
		}
		x.parting.leave(errGone, cmp.Or(s.goneTime, goneTime))
	})()
	defer s.streams.add(x, func(why *revokedError) {
		x.parting.leave(why, cmp.Or(s.revokedTime, revokedTime))
		_ = http.NewResponseController(w).SetWriteDeadline(s.Clock.Now().Add(revokedTime + lastWords)) // an agent that reads nothing would hold it open
	})()
	proxy.ServeHTTP(finalOnly{w}, r.WithContext(ctx))
}

// permit decides about a request: by which credential it is made, and that the provider's description lets it through.
func (s *Server) permit(r *http.Request, caller identity.Caller, provider, escaped string) (*exchange, *refusal) {
	x := &exchange{Server: s, caller: caller, confirmed: s.Clock.Now(), settle: func() {}}
	world, err := s.world(r.Context(), caller, provider)
	if err != nil {
		return x, &refusal{http.StatusServiceUnavailable, "Unavailable", "The API server does not answer; try again", contract.ProviderUnavailable, identity.RetryAfter}
	}
	if world.Provider != nil {
		x.format = meter.Format(world.Provider.Spec.Usage)
	}
	g, denied := grant.For(world, provider)
	if denied != nil {
		return x, &refusal{http.StatusForbidden, denied.Reason, denied.Message, contract.ProviderAuthenticationFailed, 0}
	}
	x.grant, x.upstream = g, s.upstreams.to(g, s.Forbidden)
	if x.credentialHeaders, err = s.headers.with(r.Context(), s, g.Header); err != nil {
		return x, &refusal{http.StatusServiceUnavailable, "Unavailable", "The API server does not answer; try again", contract.ProviderUnavailable, identity.RetryAfter}
	}
	if refused := x.matchRoute(r.Method, escaped); refused != nil {
		return x, refused
	}
	if refused := x.uncountable(r); refused != nil {
		return x, refused
	}
	if x.key, x.revision, denied = s.keys.read(r.Context(), s, g); denied != nil {
		return x, &refusal{http.StatusForbidden, denied.Reason, denied.Message, contract.ProviderAuthenticationFailed, 0}
	}
	x.detector = s.keys.detector(g, x.key, x.revision)
	if err := x.upstream.broken; err != nil {
		return x, &refusal{http.StatusBadGateway, "Unavailable", capitalized(err.Error()), contract.ProviderUnavailable, 0}
	}
	return x, nil
}

// world is what the decision about a request is made from. All of it comes from watches, but what the owner of the Session may use.
func (s *Server) world(ctx context.Context, caller identity.Caller, provider string) (grant.World, error) {
	w := grant.World{Session: caller.Session}
	namespace, p := &corev1.Namespace{}, &v1alpha1.APIProvider{}
	found, err := s.find(ctx, client.ObjectKey{Name: caller.Session.Namespace}, namespace)
	if found {
		w.Namespace = namespace
	}
	errs := []error{err}
	if found, err = s.find(ctx, client.ObjectKey{Name: provider}, p); found {
		w.Provider = p
	}
	errs = append(errs, err)
	pin := grant.PinOf(caller.Session, provider)
	if pin == nil {
		return w, errors.Join(errs...)
	}
	own, clusters := &v1alpha1.Credential{}, &v1alpha1.ClusterCredential{}
	switch pin.Ref.Kind {
	case v1alpha1.CredentialKindCredential:
		if found, err = s.find(ctx, client.ObjectKey{Namespace: caller.Session.Namespace, Name: pin.Ref.Name}, own); found {
			w.Credential = own
		}
	case v1alpha1.CredentialKindClusterCredential:
		if found, err = s.find(ctx, client.ObjectKey{Name: pin.Ref.Name}, clusters); found {
			w.ClusterCredential = clusters
			w.MayUse, err = s.Access.May(ctx, caller.Session.Spec.Owner, owner.ClusterCredential(pin.Ref.Name))
		}
	}
	return w, errors.Join(append(errs, err)...)
}

func (s *Server) find(ctx context.Context, key client.ObjectKey, o client.Object) (bool, error) {
	err := s.Cache.Get(ctx, key, o, client.UnsafeDisableDeepCopy)
	return err == nil, client.IgnoreNotFound(err)
}

// matchRoute lets through what the provider's description lists, and nothing else.
func (x *exchange) matchRoute(method, escaped string) *refusal {
	path, err := route.Normalise(escaped)
	if err != nil {
		return &refusal{http.StatusNotFound, "NotFound", "The path is not one that can be let through: " + err.Error(), "", 0}
	}
	verdict := x.upstream.routes.Match(method, path)
	switch verdict.Outcome {
	case route.Found:
		x.path = path
		return nil
	case route.MethodNotAllowed:
		x.allow = verdict.Allow
		return &refusal{http.StatusMethodNotAllowed, "MethodNotAllowed", fmt.Sprintf("Provider %q takes %s at this path",
			x.grant.Provider.Name, strings.Join(verdict.Allow, ", ")), "", 0}
	default:
		return &refusal{http.StatusNotFound, "NotFound", fmt.Sprintf(
			"Provider %q has no route for this path; ask an admin to add it to spec.routes of the APIProvider", x.grant.Provider.Name), "", 0}
	}
}

// uncountable refuses WebSockets where somebody wants to know what is used, or limits it: within their frames, nobody counts. A handshake has no body
// (RFC 6455, section 4.1), and the end of one could not be told from the first frames.
func (x *exchange) uncountable(r *http.Request) *refusal {
	name := x.grant.Provider.Name
	switch {
	case !strings.EqualFold(r.Header.Get("Upgrade"), webSocket):
		return nil
	case r.ContentLength != 0:
		return &refusal{http.StatusBadRequest, "UpgradeRefused", "A request for a WebSocket must have no body", "", 0}
	case x.format != "":
		return &refusal{http.StatusNotImplemented, "UpgradeRefused", fmt.Sprintf(
			"What is used of provider %q is counted, which cannot be done within a WebSocket; use its API by HTTP requests", name), "", 0}
	case x.grant.Limits != nil:
		return &refusal{http.StatusNotImplemented, "UpgradeRefused", fmt.Sprintf(
			"%s %q has limits, which cannot be kept within a WebSocket; use the API of provider %q by HTTP requests", x.grant.Ref.Kind, x.grant.Ref.Name, name), "", 0}
	}
	return nil
}

// rewrite makes the request to the provider from that of the sandbox: nothing that the sandbox says decides where it goes or who pays.
func (x *exchange) rewrite(r *httputil.ProxyRequest) {
	x.upgrade = strings.EqualFold(r.Out.Header.Get("Upgrade"), webSocket)
	query := r.In.URL.Query()
	strip.Request(r.Out.Header, query, x.credentialHeaders)
	r.Out.URL = &url.URL{Scheme: string(scheme(x.grant.Endpoint)), Host: hostPort(x.grant.Endpoint), Path: x.path, RawQuery: query.Encode()}
	r.Out.Host, r.Out.Trailer = r.Out.URL.Host, nil
	if x.upgrade {
		r.Out.Header["Connection"], r.Out.Header["Upgrade"] = []string{"Upgrade"}, []string{webSocket}
	}
	r.Out.Header.Set(x.grant.Header, x.grant.Prefix+x.key)
}

// failed answers when the provider did not.
func (x *exchange) failed(w http.ResponseWriter, _ *http.Request, err error) {
	left := cmp.Or(x.parting.left(), x.agent.Err())
	why, revoked := errors.AsType[*revokedError](left)
	switch {
	case !revoked && x.body.gaveUp():
		x.tell(w, refusal{http.StatusRequestTimeout, "Stalled", "The rest of the request does not come; send it again", "", 0})
		return
	case left == nil:
		refused := x.explain(err)
		x.troubled(refused.kind, err)
		x.tell(w, refused)
		return
	case revoked:
		x.tell(w, why.refusal)
	}
	if !x.answered {
		x.count(0, meter.Usage{})
	}
}

// tell refuses a request that was let through.
func (x *exchange) tell(w http.ResponseWriter, r refusal) {
	x.Metrics.refused(x.caller.Session, x.grant.Provider.Name, r.kind)
	x.refuse(w, x.format, r)
}

// explain says what kept a provider from answering, without what might hold a key.
func (x *exchange) explain(err error) refusal {
	name := x.grant.Provider.Name
	unavailable := func(status int, kind, message string) refusal {
		return refusal{status, kind, message, contract.ProviderUnavailable, 0}
	}
	var denied *dial.Refused
	var timeout net.Error
	switch {
	case errors.Is(err, errEchoed):
		return refusal{http.StatusBadGateway, "KeyEchoed", fmt.Sprintf("Provider %q answered with the key that it was asked with; the answer was withheld", name),
			contract.ProviderUnavailable, 0}
	case errors.Is(err, errRedirect):
		return unavailable(http.StatusBadGateway, "Redirect", fmt.Sprintf("Provider %q answered with a redirect, which is not followed; ask an admin to correct its endpoints", name))
	case errors.Is(err, errProtocol):
		return unavailable(http.StatusBadGateway, "Protocol", fmt.Sprintf("Provider %q changed the protocol to one that it was not asked for", name))
	case errors.Is(err, errEncoded):
		return unavailable(http.StatusBadGateway, "Encoded", fmt.Sprintf("Provider %q answered in an encoding that it was not asked for", name))
	case errors.As(err, &denied):
		return unavailable(http.StatusBadGateway, "AddressRefused", capitalized(denied.Error()))
	case errors.As(err, &timeout) && timeout.Timeout():
		return unavailable(http.StatusGatewayTimeout, "Timeout", fmt.Sprintf("Provider %q does not answer in time; try again", name))
	case isCertificate(err):
		return unavailable(http.StatusBadGateway, "Certificate", fmt.Sprintf("The certificate of provider %q is not valid for it; ask an admin to look at its endpoints and caBundle", name))
	}
	return unavailable(http.StatusBadGateway, "Unavailable", fmt.Sprintf("Provider %q %s; try again", name, because(err)))
}

// keyProblem says what the API server says about a Secret that cannot be read.
func keyProblem(err error, g grant.Grant) *grant.Refusal {
	name := fmt.Sprintf("Secret %q in namespace %q", g.Secret.Name, g.SecretNamespace)
	switch {
	case apierrors.IsNotFound(err):
		return &grant.Refusal{Reason: v1alpha1.ReasonSecretNotFound, Message: name + " does not exist; ask whoever manages it to create it"}
	case apierrors.IsForbidden(err):
		return &grant.Refusal{Reason: v1alpha1.ReasonSecretNotReadable, Message: name + " may not be read by the gateway; the status of the credential says how to permit it"}
	}
	return &grant.Refusal{Reason: v1alpha1.ReasonCredentialNotReady, Message: name + " cannot be read now; try again"}
}
