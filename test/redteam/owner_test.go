package redteam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// What the refusals of Sessions for somebody else begin with.
const (
	ownerRefused  = "sandkeep-session-owner: "
	notYou        = ownerRefused + "You are "
	notYourGroup  = ownerRefused + `You are not in all groups of the owner: leave these out of spec.owner, or ask for the verb "assign-owner" on each of groups.sandkeep.dev named `
	notTheirGroup = ownerRefused + `You may not name all groups of the owner: leave these out of spec.owner, or ask for the verb "assign-owner" on each of groups.sandkeep.dev named `
	systemGroup   = ownerRefused + `Groups of an owner that begin with "system:" are those that the API server puts everybody in`
	notYourClass  = ownerRefused + "You may not use SessionClass "
	notYourKeys   = ownerRefused + "You may not use every ClusterCredential that the Session names, or one does not exist: leave these out of spec.credentials, or ask an admin for the verb \"use\" on each of " +
		"clustercredentials.sandkeep.dev named "
)

// owned is a Session for somebody; their names may hold %s for the namespace.
func owned(username string, groups ...string) deed {
	return createSession(func(p *place, s *v1alpha1.SessionSpec) {
		s.Owner = &v1alpha1.Owner{Username: p.filled(username)}
		for _, group := range groups {
			s.Owner.Groups = append(s.Owner.Groups, p.filled(group))
		}
	})
}

func (p *place) filled(name string) string {
	if slices.Contains([]string{string(editor), string(applier), string(everyRight)}, name) {
		return p.user(who(name))
	}
	return strings.ReplaceAll(name, "%s", p.namespace)
}

func createSession(change func(*place, *v1alpha1.SessionSpec)) deed {
	return create(func(p *place) client.Object {
		session := newSession(p.namespace, "another")
		change(p, &session.Spec)
		return session
	})
}

// namesOwners lets the applier name alice, the group team-x, and the service account of the place.
func (p *place) namesOwners(t *testing.T) {
	t.Helper()
	rule := func(resource string, names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, ResourceNames: names, Verbs: []string{"assign-owner"}}
	}
	subject := rbacv1.Subject{Kind: "User", Name: p.user(applier)}
	people := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-people"}, Rules: []rbacv1.PolicyRule{rule("users", "alice"), rule("groups", "team-x")}}
	accounts := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-accounts"}, Rules: []rbacv1.PolicyRule{rule("serviceaccounts", accountName)}}
	p.createFor(t, people)
	p.createFor(t, accounts)
	p.bind(t, "", people.Name, subject)
	p.bind(t, p.namespace, accounts.Name, subject)
}

// TestI4NobodyNamesAnotherOwner tries to have a Session run for somebody who may use more.
func TestI4NobodyNamesAnotherOwner(t *testing.T) {
	p := newPlace(t)
	p.namesOwners(t)
	const here, elsewhere = "system:serviceaccount:%s:" + accountName, "system:serviceaccount:kube-system:" + accountName
	many := func(n int) []string {
		var groups []string
		for i := range n {
			groups = append(groups, fmt.Sprintf("team-%d", i))
		}
		return groups
	}
	tryAll(t, p, map[string]attempt{
		"somebody else":                         {editor, owned("alice"), notYou},
		"an admin":                              {editor, owned("admin"), notYou},
		"a service account":                     {editor, owned(here), notYou},
		"a controller of Kubernetes":            {editor, owned("system:kube-controller-manager"), notYou},
		"oneself in another group":              {editor, owned(string(editor), "admins"), notYourGroup + "admins"},
		"oneself in other groups":               {editor, owned(string(editor), "system:authenticated", "a", "b", "c"), notYourGroup + "a, b, c"},
		"oneself as an admin":                   {editor, owned(string(editor), "system:masters"), systemGroup},
		"oneself as a service account":          {editor, owned(string(editor), "system:serviceaccounts"), systemGroup},
		"a person whom one may not name":        {applier, owned("bob"), notYou},
		"a group that one may not name":         {applier, owned("alice", "team-x", "team-y"), notTheirGroup + "team-x, team-"},
		"the last of many groups":               {applier, owned("alice", "team-x", "team-x", "team-x", "team-x", "team-x", "team-x", "team-x", "team-y"), notTheirGroup + "team-x, team-"},
		"a service account elsewhere":           {applier, owned(elsewhere), notYou},
		"a service account as one of elsewhere": {applier, owned(here, "system:serviceaccounts:kube-system"), systemGroup},
		"a person as an admin":                  {applier, owned("alice", "system:masters"), systemGroup},
		"an admin's group, with every right":    {everyRight, owned("alice", "system:masters"), systemGroup},
		"too many groups":                       {everyRight, owned("alice", many(9)...), ownerRefused + "No more than 8 groups of an owner"},
		"nobody":                                {editor, createSession(func(*place, *v1alpha1.SessionSpec) {}), ""},
		"oneself":                               {editor, owned(string(editor)), ""},
		"oneself in the group of everybody":     {editor, owned(string(editor), "system:authenticated"), ""},
		"a service account, itself":             {account, owned(here), ""},
		"a service account in its groups":       {account, owned(here, "system:serviceaccounts", "system:serviceaccounts:%s", "system:authenticated"), ""},
		"a person whom one may name":            {applier, owned("alice"), ""},
		"a person in a group that one may name": {applier, owned("alice", "team-x", "system:authenticated"), ""},
		"an account that one may name":          {applier, owned(here, "system:serviceaccounts", "system:serviceaccounts:%s"), ""},
		"anybody, with every right":             {everyRight, owned("bob", many(8)...), ""},
		"anybody in one's own group":            {everyRight, owned("bob", "every-right-of-%s"), ""},
		"anybody, as an admin":                  {admin, owned("bob", "team-x"), ""},
		"another admin, as an admin":            {admin, owned("bob", "system:masters"), systemGroup},
		"oneself, as the admin that one is":     {admin, owned("admin", "system:masters"), ""},
		"anybody in one's group, without right": {applier, owned("alice", "appliers-of-%s"), notTheirGroup + "appliers-of-"},
	})
}

// TestI4AppliersNameAnOwner has a controller apply what others wrote, with all that the controller itself may use.
func TestI4AppliersNameAnOwner(t *testing.T) {
	p := newPlace(t)
	p.namesOwners(t)
	p.createFor(t, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceSystem, Name: "sandkeep-appliers"},
		Data:       map[string]string{"usernames": "system:serviceaccount:flux-system:kustomize-controller\n  " + p.user(applier) + "\n"},
	})
	nobody := createSession(func(*place, *v1alpha1.SessionSpec) {})
	refused := "sandkeep-session-appliers: You are " + p.user(applier) + ", and ConfigMap sandkeep-appliers"
	tryAll(t, p, map[string]attempt{
		"for nobody":              {applier, nobody, refused},
		"for itself":              {applier, owned(string(applier)), refused},
		"for a person":            {applier, owned("alice"), ""},
		"for one it may not name": {applier, owned("bob"), notYou},
		"who is not listed":       {editor, nobody, ""},
	})
}

// TestI4NobodyNamesWhatTheyMayNotUse tries to use classes and keys of admins.
func TestI4NobodyNamesWhatTheyMayNotUse(t *testing.T) {
	p := newPlace(t)
	p.namesOwners(t)
	p.role(t, "uses", v1alpha1.GroupVersion.Group, "use", "sessionclasses", "clustercredentials")
	p.bind(t, "", p.namespace+"-uses", rbacv1.Subject{Kind: "User", Name: p.user(entrant)})
	p.bind(t, p.namespace, p.namespace+"-uses", rbacv1.Subject{Kind: "User", Name: p.user(debugger)})
	class := func(name string) deed {
		return createSession(func(_ *place, s *v1alpha1.SessionSpec) { s.ClassName = name })
	}
	paidBy := func(kind v1alpha1.CredentialKind, n int) func(*place, *v1alpha1.SessionSpec) {
		return func(_ *place, s *v1alpha1.SessionSpec) {
			for i := range n {
				s.Credentials = append(s.Credentials, v1alpha1.SessionCredential{
					Provider: fmt.Sprintf("p%d", i), Ref: v1alpha1.CredentialReference{Kind: kind, Name: fmt.Sprintf("org-%d", i)},
				})
			}
		}
	}
	const ofAdmins, ofNamespace = v1alpha1.CredentialKindClusterCredential, v1alpha1.CredentialKindCredential
	all := func(p *place, s *v1alpha1.SessionSpec) {
		paidBy(ofAdmins, 16)(p, s)
		s.ClassName, s.Owner = "other", &v1alpha1.Owner{Username: p.user(everyRight), Groups: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}
	}
	forAlice := func(p *place, s *v1alpha1.SessionSpec) {
		paidBy(ofAdmins, 16)(p, s)
		s.ClassName, s.Owner = "other", &v1alpha1.Owner{Username: "alice"}
	}
	tryAll(t, p, map[string]attempt{
		"a class": {editor, class("other"), notYourClass + "other"},
		"a class that one may use in the namespace": {debugger, class("other"), notYourClass + "other"},
		"a key": {editor, createSession(paidBy(ofAdmins, 1)), notYourKeys + "org-0"},
		"a key that one may use in the namespace": {debugger, createSession(paidBy(ofAdmins, 1)), notYourKeys + "org-0"},
		"keys":                                          {editor, createSession(paidBy(ofAdmins, 3)), notYourKeys + "org-0, org-1, org-2"},
		"all the keys that a Session can name":          {editor, createSession(paidBy(ofAdmins, 16)), notYourKeys + "org-0, org-1"},
		"the shipped default class":                     {editor, class("opencode"), ""},
		"the shipped default class, by an account":      {account, class("opencode"), ""},
		"keys of the namespace":                         {editor, createSession(paidBy(ofNamespace, 16)), ""},
		"a class that one may use":                      {entrant, class("other"), ""},
		"keys that one may use":                         {entrant, createSession(paidBy(ofAdmins, 16)), ""},
		"all that can be asked about, with every right": {everyRight, createSession(all), ""},
		"what another owner would need":                 {applier, createSession(forAlice), ""}, // the manager asks
	})
}

// TestOwnersAreStamped looks at what becomes of Sessions without an owner.
func TestOwnersAreStamped(t *testing.T) {
	p := newPlace(t)
	cases := map[who]v1alpha1.Owner{
		editor:     {Username: p.user(editor), Groups: []string{"system:authenticated"}},
		everyRight: {Username: p.user(everyRight), Groups: []string{p.everyRight(), "system:authenticated"}},
		account: {Username: p.identity(account).UserName, Groups: []string{
			"system:serviceaccounts", "system:serviceaccounts:" + p.namespace, "system:authenticated",
		}},
	}
	for by, want := range cases {
		t.Run(string(by), func(t *testing.T) {
			actor := p.actor(t, by)
			session := newSession(p.namespace, "another")
			p.await(t, "the rights of "+string(by), func(context.Context) (bool, error) {
				session = newSession(p.namespace, "another")
				return actor.client.Create(actor, session) == nil, nil
			})
			if diff := cmp.Diff(&want, session.Spec.Owner); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOwnersStay replaces and changes a Session as somebody else does who may.
func TestOwnersStay(t *testing.T) {
	p := newPlace(t)
	session := newSession(p.namespace, sessionName)
	if err := p.api.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
		t.Fatal(err)
	}
	owner := session.Spec.Owner
	if owner == nil {
		t.Fatal("the Session has no owner")
	}
	for name, change := range map[string]func(*v1alpha1.Session){
		"a manifest without an owner": func(s *v1alpha1.Session) { s.Spec.Owner, s.Spec.Suspend = nil, new(true) },
		"another field":               func(s *v1alpha1.Session) { s.Spec.Suspend = new(true) },
		"a finalizer":                 func(s *v1alpha1.Session) { s.Finalizers = []string{"example.com/a"} },
	} {
		for _, by := range []who{editor, manager, gateway} {
			t.Run(name+" by "+string(by), func(t *testing.T) {
				changed, c := session, p.actor(t, by).client
				p.await(t, "the rights of "+string(by), func(ctx context.Context) (bool, error) {
					changed = session.DeepCopy()
					change(changed)
					return c.Update(ctx, changed) == nil, nil
				})
				if diff := cmp.Diff(owner, changed.Spec.Owner); diff != "" {
					t.Errorf("owner (-want +got):\n%s", diff)
				}
			})
		}
	}
}
