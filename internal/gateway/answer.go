package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/echo"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
	"github.com/sandkeep/sandkeep/internal/gateway/strip"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
	"github.com/sandkeep/sandkeep/internal/observation"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// Answers that are not passed on.
var (
	errEchoed   = errors.New("the key is in the answer")
	errRedirect = errors.New("the answer is a redirect")
	errEncoded  = errors.New("the answer is encoded")
	errProtocol = errors.New("the answer changes the protocol to one that was not asked for")
)

// maxError is the most of an error's body that is read to find out what failed.
const maxError = 64 << 10

// Of an answer that nobody waits for any more, so much is read for its count: of a stream, which may tell in its first event what it costs, and of one in
// JSON, which tells it at its end.
const (
	firstWords = 4 << 10
	maxRest    = 8 << 20
)

// answer looks at what a provider answered before it is streamed back.
func (x *exchange) answer(r *http.Response) error {
	switch {
	case x.detector.InHeader(r.Header):
		x.echoed()
		return errEchoed
	case r.StatusCode >= 300 && r.StatusCode < 400 && r.StatusCode != http.StatusNotModified:
		return errRedirect
	case strip.Encoded(r.Header):
		return errEncoded
	}
	upgraded, err := x.switched(r)
	if err != nil {
		return err
	}
	contentType := r.Header.Get("Content-Type")
	strip.Response(r.Header)
	r.Trailer = nil // their names come with the header
	x.answered = true
	checked := x.detector.Reader(r.Body, x.echoed)
	body := &counted{
		ReadCloser: checked, answer: r, meter: meter.New(x.format, contentType), parting: &x.parting, done: func(u meter.Usage) { x.count(r.StatusCode, u) },
	}
	r.Body, x.settle = body, body.finish
	if upgraded != nil {
		x.parting.tell() // frames are not counted
	}
	if why := x.parting.left(); why != nil {
		_, _ = body.read(make([]byte, firstWords)) // whatever comes of it is what can be counted
		return why
	}
	if upgraded != nil {
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{webSocket}
		r.Body = struct {
			io.ReadCloser
			io.Writer
		}{body, upgraded}
	}
	if r.StatusCode >= http.StatusBadRequest {
		return x.classify(r)
	}
	x.saw(r, nil)
	return nil
}

// webSocket is the one protocol that passes (RFC 6455). By any other, such as HTTP/2 in the clear, an agent would get a connection to the provider on
// which it could make requests that nobody looks at.
const webSocket = "websocket"

// switched is the connection of an answer that changes the protocol, nil for all others.
func (x *exchange) switched(r *http.Response) (io.Writer, error) {
	if r.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil
	}
	to := r.Header["Upgrade"]
	connection, ok := r.Body.(io.Writer)
	if !ok || !x.upgrade || len(to) != 1 || !strings.EqualFold(to[0], webSocket) {
		return nil, errProtocol
	}
	return connection, nil
}

// classify says in headers what kind of failure an error of the provider is: agents swallow errors, and sandboxd does not. That is made from the text as well,
// which the sandbox may have chosen, and so it is for this sandbox only; the keeper is told what witness.Judge says.
func (x *exchange) classify(r *http.Response) error {
	head, err := io.ReadAll(io.LimitReader(r.Body, maxError))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		if errors.Is(err, echo.ErrKeyEchoed) {
			return errEchoed
		}
		return err
	}
	cause := failure.FromText(string(head))
	cause.Status = r.StatusCode
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds > 0 {
		cause.RetryAfter = time.Duration(seconds) * time.Second
	}
	if x.detector.InHeader(http.Header{"": {cause.Text}}) { // whatever the provider wrapped it in, it would be in our header as it is
		x.echoed()
		return errEchoed
	}
	f := failure.FromCause(cause)
	x.saw(r, head)
	setFailure(r.Header, f.Class, f.Message)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	return nil
}

// setFailure tells sandboxd what failed.
func setFailure(h http.Header, class contract.FailureClass, message string) {
	if class == "" {
		return
	}
	h.Set(contract.HeaderFailureClass, string(class))
	ascii := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, contract.OneLine(message, 512))
	h.Set(contract.HeaderFailureMessage, ascii)
}

// echoed tells of a provider that gives keys away.
func (x *exchange) echoed() {
	x.Metrics.echoed(x.caller.Session, x.grant.Provider.Name)
	x.Witness.Echoed(x.ref())
	x.Log.Info("A provider answered with the key that it was asked with; the answer was cut", "provider", x.grant.Provider.Name)
	x.Recorder.Eventf(x.caller.Session, nil, corev1.EventTypeWarning, v1alpha1.ReasonKeyEchoed, "Forward",
		"Provider %q answered with the key that it was asked with; the answer was cut, and an admin should change the key", x.grant.Provider.Name)
}

// saw tells the keeper how the provider answered to the key; body is that of an error.
func (x *exchange) saw(r *http.Response, body []byte) {
	verdict, patience := witness.Judge(r.StatusCode, r.Header, body)
	x.Witness.Saw(witness.Answer{Ref: x.ref(), Revision: x.revision, Verdict: verdict, RetryAfter: patience})
}

// ref names the credential as the keeper knows it.
func (x *exchange) ref() observation.Ref {
	ref := observation.Ref{Kind: x.grant.Ref.Kind, Name: x.grant.Ref.Name}
	if ref.Kind == v1alpha1.CredentialKindCredential {
		ref.Namespace = x.caller.Session.Namespace
	}
	return ref
}

// count writes one answer into the ledger. A status of 0 is a request that nobody waited for.
func (x *exchange) count(status int, u meter.Usage) {
	x.used += u.Input + u.Output
	accepted := status > 0 && status < http.StatusBadRequest
	x.Metrics.answered(x.caller.Session, x.grant, status, u)
	x.Ledger.Add(ledger.Entry{
		Session: client.ObjectKeyFromObject(x.caller.Session), UID: x.caller.Session.UID, Accepted: accepted,
		InputTokens: u.Input, OutputTokens: u.Output, Provider: x.grant.Provider.Name, Ref: x.grant.Ref, Revision: x.revision,
	})
}

// counted meters what is read through it, and tells once how much it was. What stands behind an answer, as trailers, does not go back: no agent
// needs it, and nobody has looked at it.
type counted struct {
	io.ReadCloser
	answer  *http.Response
	meter   *meter.Meter
	parting *parting
	done    func(meter.Usage)
	once    sync.Once
	ended   bool
}

// Read is for the agent, which gets nothing of what comes after its permission has ended.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if why, revoked := errors.AsType[*revokedError](c.parting.left()); revoked {
		clear(p[:n])
		return 0, why
	}
	return n, err
}

func (c *counted) read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	_, _ = c.meter.Write(p[:n]) // it never fails
	if err != nil || !c.meter.AtEnd() {
		c.parting.tell()
	}
	if err != nil {
		c.answer.Trailer, c.ended = nil, true
		c.finish()
	}
	return n, err
}

// Close ends the count, also of an answer that was not read to its end.
func (c *counted) Close() error {
	if c.meter.AtEnd() && !c.ended {
		_, _ = io.Copy(io.Discard, io.LimitReader(readerFunc(c.read), maxRest)) // the model has written it, whether an agent is left to read it or not
	}
	c.finish()
	return c.ReadCloser.Close()
}

// readerFunc is an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (c *counted) finish() { c.once.Do(func() { c.done(c.meter.Usage()) }) }

// finalOnly leaves out the interim answers of a provider, whose headers nobody has looked at (RFC 9110, section 15.2).
type finalOnly struct{ http.ResponseWriter }

// WriteHeader drops an interim status.
func (w finalOnly) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap lets http.ResponseController flush and hijack.
func (w finalOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// isCertificate is true for errors about who the other side is.
func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &host)
}

func scheme(e v1alpha1.Endpoint) v1alpha1.EndpointScheme {
	if e.Scheme == "" {
		return v1alpha1.EndpointSchemeHTTPS
	}
	return e.Scheme
}

func hostPort(e v1alpha1.Endpoint) string {
	if e.Port == nil {
		return e.Host
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(*e.Port)))
}

func capitalized(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// quietLog takes what net/http says of broken connections: hostile peers could fill any log with it.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
