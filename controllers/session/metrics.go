package session

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Metrics of Sessions. It is a prometheus.Collector.
type Metrics struct {
	// reader lists Sessions when they are asked for, so that their number never drifts from the objects; ctx ends it.
	ctx          context.Context
	reader       client.Reader
	sessions     *prometheus.Desc
	startLatency *prometheus.HistogramVec
	endings      *prometheus.CounterVec
}

// NewMetrics makes the metrics; reader lists Sessions from a cache until ctx ends.
func NewMetrics(ctx context.Context, reader client.Reader) *Metrics {
	return &Metrics{
		ctx:    ctx,
		reader: reader,
		sessions: prometheus.NewDesc("sandkeep_sessions", "Sessions by class and by the reason of their Ready condition.",
			[]string{"class", "reason"}, nil),
		startLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sandkeep_session_start_duration_seconds",
			Help:    "Time from the creation of a sandbox pod until its agent is at work, in seconds.",
			Buckets: []float64{0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600},
		}, []string{"class"}),
		endings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sandkeep_runs_ended_total", Help: "Runs that ended, by class and by failure class, which is Succeeded for a success.",
		}, []string{"class", "ending"}),
	}
}

// Describe sends the descriptions of the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.sessions
	m.startLatency.Describe(ch)
	m.endings.Describe(ch)
}

// Collect sends the metrics as they are now.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.startLatency.Collect(ch)
	m.endings.Collect(ch)
	var list v1alpha1.SessionList
	if err := m.reader.List(m.ctx, &list); err != nil {
		ch <- prometheus.NewInvalidMetric(m.sessions, err)
		return
	}
	type key struct{ class, reason string }
	counts := map[key]int{}
	for i := range list.Items {
		reason := "Unknown"
		if c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionReady); c != nil {
			reason = c.Reason
		}
		counts[key{list.Items[i].Status.ClassName, reason}]++
	}
	for k, n := range counts {
		ch <- prometheus.MustNewConstMetric(m.sessions, prometheus.GaugeValue, float64(n), k.class, k.reason)
	}
}

// transition counts what a reconcile found and wrote.
func (m *Metrics) transition(w *world, p plan, status v1alpha1.SessionStatus) {
	if p.phase == running && w.wasReady().Reason == v1alpha1.ReasonStarting {
		ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
		m.startLatency.WithLabelValues(status.ClassName).Observe(max(0, ready.LastTransitionTime.Sub(p.pod.CreationTimestamp.Time)).Seconds())
	}
	if p.ended != nil {
		ending := p.ended.Class
		if ending == "" {
			ending = v1alpha1.ReasonSucceeded
		}
		m.endings.WithLabelValues(status.ClassName, ending).Inc()
	}
}

var _ prometheus.Collector = (*Metrics)(nil)
