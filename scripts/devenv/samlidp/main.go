// A SAML 2.0 identity provider for tests: crewjam/saml's, with people and service providers that are told it over HTTP.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/crewjam/saml/samlidp"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	file := flag.String("certificate", "", "file that the signing certificate is written to")
	flag.Parse()

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "saml-idp"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	check(os.WriteFile(*file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))

	listener, err := net.Listen("tcp", *address)
	check(err)
	server, err := samlidp.New(samlidp.Options{
		URL:         url.URL{Scheme: "http", Host: listener.Addr().String()},
		Key:         key,
		Certificate: certificate,
		Store:       &samlidp.MemoryStore{},
	})
	check(err)
	log.Printf("listening on %s", listener.Addr())
	check((&http.Server{Handler: server, ReadHeaderTimeout: 5 * time.Second}).Serve(listener))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
