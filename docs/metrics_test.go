// Package docs is what people read. Its tests hold pages to what the programs do.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandkeep/sandkeep/controllers/gatewaycertificate"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/controllers/session"
	"github.com/sandkeep/sandkeep/internal/gateway"
)

var (
	description = regexp.MustCompile(`fqName: "(sandkeep_[a-z_]+)".*variableLabels: \{([a-z,]*)\}`)
	row         = regexp.MustCompile("(?m)^\\| `(sandkeep_[a-z_]+)` \\| [a-z]+ \\| ([^|]*)\\|")
)

// TestMetricsPage wants each metric of the programs on the page, with its labels, and no other.
func TestMetricsPage(t *testing.T) {
	collectors := []prometheus.Collector{
		session.NewMetrics(t.Context(), nil), keyhealth.NewMetrics(t.Context(), nil), gatewaycertificate.NewMetrics(), gateway.NewMetrics(),
	}
	if registered := registrations(t); registered != len(collectors) {
		t.Errorf("the programs register %d collectors, and %d are looked at here", registered, len(collectors))
	}
	exported := map[string][]string{}
	for _, c := range collectors {
		for _, d := range descriptions(c) {
			found := description.FindStringSubmatch(d)
			if found == nil {
				t.Fatalf("not understood: %s", d)
			}
			exported[found[1]] = words(found[2])
		}
	}
	page, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, found := range row.FindAllStringSubmatch(string(page), -1) {
		documented[found[1]] = words(found[2])
	}
	if diff := cmp.Diff(exported, documented); diff != "" {
		t.Errorf("metrics and their labels (-exported +documented):\n%s", diff)
	}
}

// descriptions are what a collector says of its metrics.
func descriptions(c prometheus.Collector) []string {
	ch := make(chan *prometheus.Desc, 100)
	c.Describe(ch)
	close(ch)
	var list []string
	for d := range ch {
		list = append(list, d.String())
	}
	return list
}

// words are the labels in a text, in order.
func words(text string) []string {
	list := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("`, ", r) })
	slices.Sort(list)
	return list
}

// registrations counts the collectors that programs register.
func registrations(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("../cmd/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(text), "metrics.Registry.Register(")
	}
	return n
}
