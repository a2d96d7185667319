package gatewaycertificate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tells when the certificate of the gateway ends. It is a prometheus.Collector.
type Metrics struct{ prometheus.Gauge }

// NewMetrics makes the metric.
func NewMetrics() *Metrics {
	return &Metrics{prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sandkeep_gateway_certificate_expiration_timestamp_seconds",
		Help: "When the certificate of the gateway ends, in seconds since 1970; 0 in a replica that is not the leader.",
	})}
}

func (m *Metrics) served(expires time.Time) { m.Set(float64(expires.Unix())) }
