package schema

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Who may do what with Secrets, of all that is installed. The manager has no rights on them at all, nobody has rights everywhere, and the vault is
// the keeper's alone.
func TestWhoMayReadSecrets(t *testing.T) {
	objects := append(build(t, "config/default"), build(t, "config/gateway")...)
	rules := map[string][]rbacv1.PolicyRule{}
	for _, o := range objects {
		switch o.GetKind() {
		case "Role", "ClusterRole":
			var role rbacv1.ClusterRole
			typed(t, o, &role)
			rules[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = role.Rules
		}
	}
	got := map[string][]string{}
	for _, o := range objects {
		switch o.GetKind() {
		case "RoleBinding", "ClusterRoleBinding":
			var binding rbacv1.RoleBinding
			typed(t, o, &binding)
			role := binding.RoleRef.Kind + " " + o.GetNamespace() + "/" + binding.RoleRef.Name
			if binding.RoleRef.Kind == "ClusterRole" {
				role = "ClusterRole /" + binding.RoleRef.Name
			}
			for _, subject := range binding.Subjects {
				if verbs := onSecrets(rules[role]); len(verbs) > 0 {
					got[subject.Name+" in "+o.GetNamespace()] = verbs
				}
			}
		}
	}
	keeper := []string{"create", "get", "list", "update", "watch"}
	want := map[string][]string{
		"sandkeep-keeper in sandkeep-keys": keeper, "sandkeep-keeper in sandkeep-vault": keeper,
		"sandkeep-gateway in sandkeep-keys": {"get", "list", "watch"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verbs on Secrets by subject and namespace (-want +got):\n%s", diff)
	}
}

// What everybody may use is the shipped default class, and no key: those are given by name (I4).
func TestI4WhatEverybodyMayUse(t *testing.T) {
	var want []string
	for _, o := range build(t, "config/classes") {
		if o.GetKind() == "SessionClass" && o.GetAnnotations()["sandkeep.dev/is-default-class"] == "true" {
			want = append(want, "sandkeep-user: sessionclasses ["+o.GetName()+"]")
		}
	}
	want = append(want, "sandkeep-admin: sessionclasses clustercredentials []")
	var got []string
	for _, o := range build(t, "config/default") {
		if o.GetKind() != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole
		typed(t, o, &role)
		for _, rule := range role.Rules {
			if slices.Contains(rule.Verbs, "use") || slices.Contains(rule.Verbs, "assign-owner") || slices.Contains(rule.Verbs, "*") {
				got = append(got, role.Name+": "+strings.Join(rule.Resources, " ")+" ["+strings.Join(rule.ResourceNames, " ")+"]")
				if len(role.Labels) > 0 {
					t.Errorf("ClusterRole %s is added to others by %v", role.Name, role.Labels)
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may use what (-want +got):\n%s", diff)
	}
}

// onSecrets are the verbs that rules give on Secrets, sorted.
func onSecrets(rules []rbacv1.PolicyRule) []string {
	var verbs []string
	for _, rule := range rules {
		ofCore := slices.Contains(rule.APIGroups, "") || slices.Contains(rule.APIGroups, "*")
		ofSecrets := slices.ContainsFunc(rule.Resources, func(r string) bool { return r == "*" || strings.HasPrefix(r, "secrets") })
		if ofCore && ofSecrets {
			verbs = append(verbs, rule.Verbs...)
		}
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

func typed(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		t.Fatal(err)
	}
}
