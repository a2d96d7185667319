package redteam

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// TestStatusIsWrittenByWhomTheDesignNames tries to write what others observed.
func TestStatusIsWrittenByWhomTheDesignNames(t *testing.T) {
	p := newPlace(t)
	meta := metav1.ObjectMeta{Name: p.namespace}
	p.createFor(t, clusterCredentialNamed(p.namespace))
	p.createFor(t, provider(p.namespace))
	p.createFor(t, class(p))
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: sessionName}}
	objects := map[string]client.Object{
		"sessions":           session,
		"credentials":        credentialNamed(credentialName),
		"sessionclasses":     &v1alpha1.SessionClass{ObjectMeta: meta},
		"apiproviders":       &v1alpha1.APIProvider{ObjectMeta: meta},
		"clustercredentials": &v1alpha1.ClusterCredential{ObjectMeta: meta},
	}
	writers := map[string]string{
		"sessions": "sandkeep-manager and sandkeep-gateway", "sessionclasses": "sandkeep-manager",
		"credentials": "sandkeep-keeper", "apiproviders": "sandkeep-keeper", "clustercredentials": "sandkeep-keeper",
	}
	writes := map[who][]string{
		manager: {"sessions", "sessionclasses"},
		keeper:  {"credentials", "apiproviders", "clustercredentials"},
		admin:   {"sessions", "sessionclasses", "credentials", "apiproviders", "clustercredentials"},
	}
	seen := tree{"status": tree{"observedGeneration": 1}}
	attempts := map[string]attempt{}
	for _, by := range []who{everyRight, manager, gateway, keeper, admin} {
		for resource, object := range objects {
			want := "sandkeep-status: The status of " + resource + " is written by " + writers[resource] + " only"
			if slices.Contains(writes[by], resource) {
				want = ""
			}
			if by == gateway && resource == "sessions" {
				want = gatewayOnly
			}
			attempts[string(by)+" writes "+resource] = attempt{by, patch(object, seen, "status"), want}
		}
	}
	for field, value := range map[string]any{
		"conditions": []tree{}, "className": "x", "run": 2, "podName": "x", "podUID": "x", "nextRunTime": "2026-01-01T00:00:00Z", "failures": 1, "retries": 1, "auth": "x", "credentials": []tree{},
		"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z", "result": tree{"summary": "x"}, "failure": tree{"class": "Stopped", "message": "x"},
	} {
		attempts["the gateway writes "+field] = attempt{gateway, patch(session, tree{"status": tree{field: value}}, "status"), gatewayOnly}
	}
	attempts["the gateway writes usage"] = attempt{gateway, patch(session, tree{"status": tree{"usage": tree{"requests": 1}}}, "status"), ""}
	attempts["the gateway writes lastActivityTime"] = attempt{gateway, patch(session, tree{"status": tree{"lastActivityTime": "2026-01-01T00:00:00Z"}}, "status"), ""}
	attempts["the gateway writes credentialsInUse"] = attempt{gateway, patch(session, tree{"status": tree{"credentialsInUse": []tree{
		{"provider": "anthropic", "ref": tree{"kind": "Credential", "name": "own"}, "revision": "1", "lastUsedTime": "2026-01-01T00:00:00Z"},
	}}}, "status"), ""}
	tryAll(t, p, attempts)
}

const gatewayOnly = "sandkeep-status: The gateway writes usage, credentialsInUse and lastActivityTime of a Session only"
