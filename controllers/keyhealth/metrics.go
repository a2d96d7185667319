package keyhealth

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Metrics count credentials. It is a prometheus.Collector.
type Metrics struct {
	// reader lists credentials when they are asked for, so that their number never drifts from the objects; ctx ends it.
	ctx         context.Context
	reader      client.Reader
	credentials *prometheus.Desc
}

// NewMetrics makes the metrics; reader lists credentials from a cache until ctx ends.
func NewMetrics(ctx context.Context, reader client.Reader) *Metrics {
	return &Metrics{ctx: ctx, reader: reader, credentials: prometheus.NewDesc(
		"sandkeep_credentials", "Credentials by Kind, by provider, and by the reason of their Ready condition.", []string{"kind", "provider", "reason"}, nil)}
}

// Describe sends the description of the metric.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.credentials }

// Collect sends the metric as it is now.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	var own v1alpha1.CredentialList
	var cluster v1alpha1.ClusterCredentialList
	if err := errors.Join(m.reader.List(m.ctx, &own), m.reader.List(m.ctx, &cluster)); err != nil {
		ch <- prometheus.NewInvalidMetric(m.credentials, err)
		return
	}
	type key struct{ kind, provider, reason string }
	counts := map[key]int{}
	for i := range own.Items {
		c := &own.Items[i]
		counts[key{string(v1alpha1.CredentialKindCredential), c.Spec.Provider, reasonOf(c.Status.Conditions)}]++
	}
	for i := range cluster.Items {
		c := &cluster.Items[i]
		counts[key{string(v1alpha1.CredentialKindClusterCredential), c.Spec.Provider, reasonOf(c.Status.Conditions)}]++
	}
	for k, n := range counts {
		ch <- prometheus.MustNewConstMetric(m.credentials, prometheus.GaugeValue, float64(n), k.kind, k.provider, k.reason)
	}
}

func reasonOf(conditions []metav1.Condition) string {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return "Unknown"
}

var _ prometheus.Collector = (*Metrics)(nil)
