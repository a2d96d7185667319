package door

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// target is where a request goes: a provider and the escaped path there.
type target struct{ provider, path string }

type targetKey struct{}

func withTarget(ctx context.Context, t target) context.Context {
	return context.WithValue(ctx, targetKey{}, t)
}

func targetOf(ctx context.Context) target {
	t, _ := ctx.Value(targetKey{}).(target)
	return t
}

func (d *Door) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        d.rewrite,
		Transport:      d.calls,
		FlushInterval:  -1,
		ErrorLog:       silent(),
		ModifyResponse: d.look,
		ErrorHandler:   d.unreachable,
	}
}

// credentialHeaders are where agents present a key. The gateway removes those of every provider; these do not even get there.
var credentialHeaders = []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie", "Proxy-Authorization"}

// ownPrefix begins the headers that the gateway and the door have for each other.
const ownPrefix = "Sandkeep-"

// rewrite makes the gateway's request from the agent's. ReverseProxy has taken out what belongs to the connection, and would leave out
// parts of a query that it cannot parse.
func (d *Door) rewrite(p *httputil.ProxyRequest) {
	t := targetOf(p.In.Context())
	p.Out.Host = ""
	p.Out.URL.Scheme, p.Out.URL.Host = d.base.Scheme, d.base.Host
	p.Out.URL.Opaque = contract.GatewayProviders + t.provider + t.path // Path would be escaped anew
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	for _, name := range credentialHeaders {
		p.Out.Header.Del(name)
	}
	p.Out.Header.Del("Origin") // it names the door
	withoutOwn(p.Out.Header)
}

func withoutOwn(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, ownPrefix) {
			h.Del(name)
		}
	}
}

// look notes what an answer tells before the agent gets it.
func (d *Door) look(answer *http.Response) error {
	ctx := answer.Request.Context()
	provider := targetOf(ctx).provider
	switch fault := failureOf(answer, d.now()); {
	case fault != nil:
		d.seen.failed(provider, fault)
	case answer.StatusCode == http.StatusSwitchingProtocols:
		d.seen.succeeded(provider)
	case answer.StatusCode/100 == 2:
		d.seen.succeeded(provider)
		answer.Body = &body{answer.Body, func(err error) { d.cut(ctx, err) }}
	}
	withoutOwn(answer.Header)
	answer.Header.Del("Set-Cookie")
	return nil
}

// cut notes that an answer ended before its time, unless it was the agent that went away.
func (d *Door) cut(ctx context.Context, err error) {
	if ctx.Err() == nil {
		d.seen.failed(targetOf(ctx).provider, failure.New(contract.ProviderUnavailable, "The provider's answer was cut off: %v", err))
	}
}

// body finds out how an answer ends.
type body struct {
	io.ReadCloser
	cut func(error)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.cut(err)
	}
	return n, err
}

// unreachable answers a request that got no answer. Agents try again by themselves.
func (d *Door) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	message := "The gateway cannot be reached: " + err.Error()
	if r.Context().Err() == nil { // else nobody waits for the answer any more
		d.seen.failed(targetOf(r.Context()).provider, failure.New(contract.ProviderUnavailable, "%s", contract.OneLine(message, maxMessage)))
		d.hint(err)
	}
	refuse(w, http.StatusBadGateway, "api_error", message)
}

// refuse answers in the shape that the clients of all providers look for a message in.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type  string `json:"type"`
		Error detail `json:"error"`
	}{"error", detail{kind, message}})
}
