package keep

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

func TestHostsOutside(t *testing.T) {
	provider := func(hosts ...string) *v1alpha1.APIProvider {
		p := &v1alpha1.APIProvider{}
		for _, h := range hosts {
			p.Spec.Endpoints = append(p.Spec.Endpoints, v1alpha1.Endpoint{Host: h})
		}
		return p
	}
	cases := map[string]struct {
		provider    *v1alpha1.APIProvider
		hosts, want []string
	}{
		"the host of the key":                    {provider("a.example"), []string{"a.example"}, []string{}},
		"one of the hosts of the key":            {provider("b.example"), []string{"a.example", "b.example"}, []string{}},
		"another host":                           {provider("evil.example"), []string{"a.example"}, []string{"evil.example"}},
		"a host below that of the key":           {provider("x.a.example"), []string{"a.example"}, []string{"x.a.example"}},
		"new hosts beside the old, sorted, once": {provider("z.example", "a.example", "y.example", "z.example"), []string{"a.example"}, []string{"y.example", "z.example"}},
		"a key that may go nowhere":              {provider("a.example"), nil, []string{"a.example"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Outside(c.provider, c.hosts)); diff != "" {
				t.Errorf("hosts outside (-want +got):\n%s", diff)
			}
		})
	}
}
