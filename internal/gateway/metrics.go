package gateway

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

// Metrics of the gateway. It is a prometheus.Collector.
type Metrics struct {
	requests, tokens, refusals, callers, echoes, cuts *prometheus.CounterVec
}

// NewMetrics makes the metrics.
func NewMetrics() *Metrics {
	who := []string{"class", "namespace", "provider", "credential"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sandkeep_gateway_" + name, Help: help}, labels)
	}
	return &Metrics{
		requests: counter("requests_total", "Requests that were sent to providers, by the status of the answer; 0 where nobody waited for it.", append(who, "status")...),
		tokens:   counter("tokens_total", "Tokens as providers count them, by direction: input or output.", append(who, "direction")...),
		refusals: counter("refusals_total", "Requests of sandboxes that were not sent to a provider, or not answered by it, by reason.", "class", "namespace", "provider", "reason"),
		callers:  counter("callers_turned_away_total", "Requests of callers who were no sandbox that may ask, by reason.", "reason"),
		cuts:     counter("answers_cut_total", "Answers that were cut because they were not permitted any more, by reason.", "class", "namespace", "provider", "reason"),
		echoes:   counter("keys_echoed_total", "Answers that were cut because they held the key.", "namespace", "provider"),
	}
}

func (m *Metrics) all() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.requests, m.tokens, m.refusals, m.callers, m.echoes, m.cuts}
}

// Describe sends the descriptions of the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect sends the metrics as they are now.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *Metrics) answered(s *v1alpha1.Session, g grant.Grant, status int, u meter.Usage) {
	who := []string{s.Status.ClassName, s.Namespace, g.Provider.Name, g.Ref.Name}
	m.requests.WithLabelValues(append(who, strconv.Itoa(status))...).Inc()
	m.tokens.WithLabelValues(append(who, "input")...).Add(float64(u.Input))
	m.tokens.WithLabelValues(append(who, "output")...).Add(float64(u.Output))
}

// refused counts under the name of a provider only where that is one of the Session's: names in paths are the caller's to choose.
func (m *Metrics) refused(s *v1alpha1.Session, provider, reason string) {
	if grant.PinOf(s, provider) == nil {
		provider = ""
	}
	m.refusals.WithLabelValues(s.Status.ClassName, s.Namespace, provider, reason).Inc()
}

func (m *Metrics) cut(s *v1alpha1.Session, provider, reason string, answers int) {
	m.cuts.WithLabelValues(s.Status.ClassName, s.Namespace, provider, reason).Add(float64(answers))
}

func (m *Metrics) turnedAway(reason string) { m.callers.WithLabelValues(reason).Inc() }

func (m *Metrics) echoed(s *v1alpha1.Session, provider string) {
	m.echoes.WithLabelValues(s.Namespace, provider).Inc()
}

var _ prometheus.Collector = (*Metrics)(nil)
var _ http.Handler = (*Server)(nil)
