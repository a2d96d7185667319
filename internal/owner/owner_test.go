package owner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

func TestReviewAsksForTheOwnerAsTheAPIServerWouldKnowThem(t *testing.T) {
	cases := map[string]struct {
		owner v1alpha1.Owner
		want  []string
	}{
		"a person as stamped": {
			v1alpha1.Owner{Username: "dev", Groups: []string{"team-a", "system:authenticated"}}, []string{"team-a", "system:authenticated"},
		},
		"a person whom somebody named": {v1alpha1.Owner{Username: "dev"}, []string{"system:authenticated"}},
		"a service account whom somebody named": {
			v1alpha1.Owner{Username: "system:serviceaccount:ci:bot"},
			[]string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:ci"},
		},
		"nobody in particular":          {v1alpha1.Owner{Username: "system:anonymous", Groups: []string{"system:unauthenticated"}}, []string{"system:unauthenticated"}},
		"a name that is half of a name": {v1alpha1.Owner{Username: "system:serviceaccount:ci"}, []string{"system:authenticated"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := authorizationv1.SubjectAccessReviewSpec{
				User: c.owner.Username, Groups: c.want, ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: "use", Group: "sandkeep.dev", Version: "v1alpha1", Resource: "clustercredentials", Name: "org",
				},
			}
			if diff := cmp.Diff(want, Review(c.owner, ClusterCredential("org")).Spec); diff != "" {
				t.Errorf("question (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReviewLeavesTheOwnerAsItIs(t *testing.T) {
	groups := append(make([]string, 0, 4), "a")
	Review(v1alpha1.Owner{Username: "dev", Groups: groups}, Class("c"))
	if extended := groups[:2]; extended[1] != "" {
		t.Errorf("the groups of the Session became %q", extended)
	}
}

func TestDeniedPrintsTheCommandsThatAnAdminRuns(t *testing.T) {
	cases := map[string]struct {
		owner *v1alpha1.Owner
		use   Use
		want  string
	}{
		"a person": {
			&v1alpha1.Owner{Username: "dev@acme.example"}, ClusterCredential("org"),
			`User "dev@acme.example" may not use ClusterCredential "org"; ask an admin to run ` + "`" +
				`echo '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"sandkeep-credential-org"},` +
				`"rules":[{"apiGroups":["sandkeep.dev"],"resources":["clustercredentials"],"resourceNames":["org"],"verbs":["use"]}]}' | kubectl apply -f - && ` +
				`kubectl create clusterrolebinding sandkeep-credential-org-03f5e1f3 --user=dev@acme.example --clusterrole=sandkeep-credential-org` + "`",
		},
		"a service account": {
			&v1alpha1.Owner{Username: "system:serviceaccount:ci:bot"}, Class("big"),
			`ServiceAccount "bot" of namespace "ci" may not use SessionClass "big"; ask an admin to run ` + "`" +
				`echo '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"sandkeep-class-big"},` +
				`"rules":[{"apiGroups":["sandkeep.dev"],"resources":["sessionclasses"],"resourceNames":["big"],"verbs":["use"]}]}' | kubectl apply -f - && ` +
				`kubectl create clusterrolebinding sandkeep-class-big-a642a5a7 --serviceaccount=ci:bot --clusterrole=sandkeep-class-big` + "`",
		},
		"nobody": {
			nil, Class("big"),
			`The Session has no owner (spec.owner), and so may not use SessionClass "big": it was made while Sandkeep's admission policies were not in force; ` +
				`ask an admin to apply them, and make a new Session`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Denied(c.owner, c.use)); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesAreOneWordOfAShell(t *testing.T) {
	for name, want := range map[string]string{
		"dev@acme.example":           "dev@acme.example",
		"https://idp.example#42":     "'https://idp.example#42'",
		"x; rm -rf $HOME":            "'x; rm -rf $HOME'",
		"o'brien":                    `'o'\''brien'`,
		"$(id)":                      "'$(id)'",
		"--as=system:admin":          "--as=system:admin", // comes after --user=
		"Jörg":                       "'Jörg'",
		"a\nb":                       "'a\nb'",
		"system:kube-proxy,nodes:+1": "system:kube-proxy,nodes:+1",
	} {
		if got := word(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}
