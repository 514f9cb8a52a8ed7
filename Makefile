# Parley. "make run" starts the bridge of bridge.toml on this machine.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.stamp=$(VERSION)
GOTEST  ?= go test -race -timeout 20m
CRASH_TIME ?= 5m
SOAK_TIME  ?= 30m

.PHONY: run build test test-peers crash soak bench lint generate clean

run: ## start the bridge
	go run ./cmd/parley run --config bridge.toml

build: ## bin/parley, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/parley ./cmd/parley

test: ## everything but foreign programs; installs what it needs
	.ci/need sip-tester baresip-core curl python3-grpcio python3-protobuf python3-cryptography
	go vet ./...
	$(GOTEST) ./...

test-peers: ## against foreign SIP servers, phones, browsers, and chat and mail servers; as root
	.ci/need sip-tester baresip-core kamailio kamailio-tls-modules linphone-cli chromium postfix dovecot-core dovecot-imapd dovecot-lmtpd npm strace iproute2 nftables conntrack
	.ci/peers $(GOTEST)

crash: ## every fault for five minutes while people speak; writes the table of docs/delivery.md; as root
	.ci/need sip-tester strace
	go test -race -tags peers -timeout 6h -run TestPeersInEachFault -v ./cmd/parley \
		-crash.time $(CRASH_TIME) -crash.fault 30s -crash.table "$(CURDIR)/docs/delivery.md"

soak: ## one host lives through half an hour of faults at random; says what it holds; as root
	.ci/need sip-tester strace
	go test -tags peers -timeout 2h -run TestPeersSoak -v ./cmd/parley -soak.time $(SOAK_TIME)

bench: build ## figures, on this machine: the bridge with real SIP, beside msilo, then the bus, the mapping of content and the SIP edge alone
	.ci/need kamailio kamailio-sqlite-modules sqlite3
	bin/parley bench
	go test -tags peers -run '^$$' -bench Msilo -benchtime 1x ./cmd/parley
	go test -run '^$$' -bench . -benchmem ./bus ./plugins/content/mapping
	go test -run '^$$' -bench BesideBare -benchtime 40000x ./core/sipedge
	go test -run '^$$' -bench Out -benchtime 1x ./core/sipedge
	go test -run '^$$' -bench Memory -benchtime 300000x ./core/sipedge

lint: ## formatting, vet, staticcheck, tidiness, known vulnerabilities
	.ci/lint

generate: ## code and tables made from other files; needs protoc
	.ci/need protobuf-compiler libprotobuf-dev
	go generate ./...

clean:
	rm -rf bin
