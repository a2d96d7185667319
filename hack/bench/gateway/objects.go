package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// The key that the gateway puts on requests, and the one of the bare proxy. They are good nowhere.
const (
	gatewayKey = "sk-ant-api03-bench-gateway-0123456789-abcdefghijklmnopqrstuvwxyz"
	bareKey    = "sk-ant-api03-bench-bare-proxy-0123456789-abcdefghijklmnopqrstuvwxyz"
)

const (
	providerName = "anthropic"
	sharedName   = "shared"
)

// tokenSize is that of tokens that a kubelet gets for pods, in bytes.
const tokenSize = 1100

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		utilruntime.Must(add(s))
	}
	return s
}

// objectsIn reads files with one or more objects each.
func objectsIn(s *runtime.Scheme, pattern string) ([]client.Object, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		return nil, errors.Join(fmt.Errorf("no files match %s", pattern), err)
	}
	var list []client.Object
	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		objects, err := objectsOf(s, path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		list = append(list, objects...)
	}
	return list, nil
}

func objectsOf(s *runtime.Scheme, path string) ([]client.Object, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoder, documents := serializer.NewCodecFactory(s).UniversalDeserializer(), yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var list []client.Object
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		o, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, o.(client.Object))
	}
}

// surroundings are what a cluster has beside the sandboxes: the admission policies, the shipped provider at the address of the scripted one, and the
// credential that all may use.
func (b *bench) surroundings(s *runtime.Scheme) ([]client.Object, *v1alpha1.APIProvider, error) {
	list, err := objectsIn(s, b.Path("config", "policy", "*.yaml"))
	if err != nil {
		return nil, nil, err
	}
	shipped, err := objectsIn(s, b.Path("config", "providers", providerName+".yaml"))
	if err != nil {
		return nil, nil, err
	}
	p := shipped[0].(*v1alpha1.APIProvider)
	p.Spec.Endpoints = []v1alpha1.Endpoint{{
		Scheme: v1alpha1.EndpointSchemeHTTPS, Host: b.provider.host, Port: &b.provider.port, AllowPrivate: new(true), CABundle: string(b.identity.certificate),
	}}
	shared := build.ClusterCredential(sharedName).Secret(providerName, "api-key").Allow(build.Namespace).Ready().Obj()
	shared.Status.Hosts = []string{b.provider.host}
	return append(list, p, shared,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace}},
		secret(providerName, v1alpha1.SecretTypeAPIKey, map[string][]byte{"api-key": []byte(gatewayKey)}),
		secret(keep.GatewayServingSecret, v1alpha1.SecretTypeCertificate, map[string][]byte{
			corev1.TLSCertKey: b.identity.certificate, corev1.TLSPrivateKeyKey: b.identity.key,
		}),
	), p, nil
}

func secret(name string, kind corev1.SecretType, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceKeys, Name: name}, Type: kind, Data: data}
}

// aSandbox is a Session, and the pod that it runs in, as the manager makes it.
func aSandbox(i int, p *v1alpha1.APIProvider) (*v1alpha1.Session, *corev1.Pod) {
	ref := v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: sharedName}
	s := build.Session(fmt.Sprintf("bench-%05d", i)).Obj()
	resolved := credential.Resolved{
		Provider: p, Ref: ref, Source: v1alpha1.CredentialSourceCluster, Method: v1alpha1.CredentialMethodAPIKey, Delivery: v1alpha1.DeliveryProxy,
	}
	class := build.Class("opencode").Obj()
	config := sandbox.ConfigFor(sandbox.ConfigInput{
		Session: s, Class: class, Run: 1, Resolved: []credential.Resolved{resolved}, Gateway: &contract.Gateway{URL: "https://gateway.example"},
	})
	pod := sandbox.Pod(sandbox.PodInput{Session: s, Class: class, Config: config, Digest: strings.Repeat("0", 64), Image: "sandkeep:bench"})
	pod.UID = build.UID(pod.Name)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: addressOf(i).String()}}}
	s.Status.PodName, s.Status.PodUID, s.Status.ClassName = pod.Name, string(pod.UID), class.Name
	s.Status.Credentials = []v1alpha1.ResolvedCredential{{
		Provider: p.Name, Ref: ref, Source: resolved.Source, Method: resolved.Method, Delivery: resolved.Delivery,
	}}
	return s, pod
}

// addressOf is that of a sandbox: all of 127.0.0.0/8 is this machine.
func addressOf(sandbox int) net.IP {
	return net.IPv4(127, 1, byte(sandbox/250), byte(1+sandbox%250))
}

// newToken looks like the token of a pod for the gateway.
func newToken() string {
	random := make([]byte, tokenSize/2)
	_, _ = rand.Read(random) // it never fails
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(`{"aud":["`+v1alpha1.TokenAudience+`"]}`)) + "." + part(random)
}
