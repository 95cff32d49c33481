"""Networks of namespaces: a public network, and sites behind routers of a chosen kind.

        stun          one host with several addresses, 20.0.113.1 to .4 (and IPv6)
          |
    ------+------  a bridge, or a slow switch: the public network, 20.0.113.0/24
     |         |
  router a  router b …   20.0.113.10, .16, …
     |         |
   host a    host b …    10.0.1.2 and 10.0.2.2, or public ones without a NAT

The public addresses are nobody's documentation, because miniupnpd takes those for private; no packet
leaves the namespaces, which have no way out. Everything is named PREFIX-..., and removed at the end by those names.
"""

import ctypes
import os
import socket
import subprocess
import tempfile
import threading
import time

from switch import Switch

PREFIX = f"pnat{os.getpid() % 10000}"
STUN = "20.0.113.1:3478"
STUN_OTHER = "20.0.113.2:3479"
BROKER = "20.0.113.3"
DESTINATION = ("20.0.113.4", 7000)
STUN6 = "[2001:db8:1::1]:3478"
STUN6_OTHER = "[2001:db8:1::2]:3479"

# How each kind of site is named, and the type that a survey must find.
KINDS = {
    "open": "no NAT",
    "full cone": "full cone",
    "restricted": "restricted cone",
    "port-restricted": "port-restricted cone",
    "symmetric": "symmetric",
    "double": "symmetric",
    "firewall": "no NAT, a firewall",
    "mapped": "symmetric",
}


def run(*words, check=True, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def space(name):
    return f"{PREFIX}-{name}"


def inside(name, *words):
    return ["ip", "netns", "exec", space(name), *words]


def within(name, *words, check=True, text=None):
    return run(*inside(name, *words), check=check, text=text)


def add_space(name):
    run("ip", "netns", "add", space(name))
    # Nobody else is here: no address need be tried first.
    within(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0",
           "net.ipv6.conf.all.accept_dad=0")
    within(name, "ip", "link", "set", "lo", "up")


def link(one, one_name, other, other_name):
    """A cable between two spaces."""
    run("ip", "link", "add", one_name, "netns", space(one), "type", "veth",
        "peer", "name", other_name, "netns", space(other))
    within(one, "ip", "link", "set", one_name, "up")
    within(other, "ip", "link", "set", other_name, "up")


def address(name, interface, *addresses):
    for at in addresses:
        words = ["ip", "addr", "add", at, "dev", interface]
        within(name, *words, *(["nodad"] if ":" in at else []))


def forwarding(name):
    within(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def placed(name, make):
    """What `make` opens, opened inside a space. It stays there wherever it is used."""
    made = []

    def enter():
        with open(f"/run/netns/{space(name)}") as at:
            if LIBC.setns(at.fileno(), CLONE_NEWNET):
                made.append(OSError(ctypes.get_errno(), "setns"))
                return
        try:
            made.append(make())
        except OSError as error:
            made.append(error)

    # A thread of its own: it is in that space until its end.
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class World:
    """The public network and the host with several addresses.

    With `delay`, every packet of the public network takes so many seconds: a switch of our own
    carries it, because few kernels are built with netem.
    """

    def __init__(self, delay=0.0):
        self.sites, self.plugs = {}, 0
        self.switch = Switch(delay) if delay else None
        add_space("wan")
        within("wan", "ip", "link", "add", "br0", "type", "bridge")
        within("wan", "ip", "link", "set", "br0", "up")
        add_space("stun")
        self.plug("stun")
        address("stun", "wan0", *(f"20.0.113.{last}/24" for last in (1, 2, 3, 4)))
        address("stun", "wan0", "2001:db8:1::1/64", "2001:db8:1::2/64")

    def plug(self, name):
        """A host or router into the public network, by its interface wan0."""
        if self.switch:
            self.switch.plug(lambda open_port: placed(name, open_port))
            within(name, "ip", "link", "set", "wan0", "up")
            return
        # The kernel takes its time with the interfaces of a space that is gone: no name comes twice.
        self.plugs += 1
        port = f"p{self.plugs}"
        link(name, "wan0", "wan", port)
        within("wan", "ip", "link", "set", port, "master", "br0")

    def site(self, letter, kind, protocols="PCP"):
        self.remove(letter)
        taken = {site.number for site in self.sites.values()}
        number = next(number for number in range(1, 40) if number not in taken)
        self.sites[letter] = Site(self, letter, kind, protocols, number)
        # The router before had the same addresses and another card.
        for name in ["stun"] + [site.router for site in self.sites.values()]:
            within(name, "ip", "neigh", "flush", "all")
            within(name, "ip", "-6", "neigh", "flush", "all")
        return self.sites[letter]

    def remove(self, letter):
        site = self.sites.pop(letter, None)
        if site:
            site.close()

    def close(self):
        for letter in list(self.sites):
            self.remove(letter)
        for name in ("stun", "wan"):
            run("ip", "netns", "del", space(name), check=False)
        if self.switch:
            self.switch.close()


class Site:
    """A host behind a router of a kind."""

    def __init__(self, world, letter, kind, protocols, number):
        """`protocols` are those of a mapping router: PCP with all, or UPnP alone."""
        self.letter, self.kind, self.protocols = letter, kind, protocols
        self.host, self.router, self.inner = f"host{letter}", f"router{letter}", f"inner{letter}"
        self.spaces, self.processes = [], []
        self.number = number
        self.outside = f"20.0.113.{6 * number + 4}"
        self.moved_to = f"20.0.113.{6 * number + 7}"
        for name in (self.host, self.router):
            self.add(name)
        forwarding(self.router)
        world.plug(self.router)
        address(self.router, "wan0", f"{self.outside}/24", f"2001:db8:1::{number}0/64")
        untranslated = kind in ("open", "firewall")
        lan = f"198.51.{100 + number}" if untranslated else f"10.0.{number}"
        self.local = f"{lan}.2"
        # From where the public network sees it.
        self.seen_at = self.local if untranslated else self.outside
        self.lan = f"{lan}.0/24"
        if kind == "double":
            self.behind_a_carrier(lan)
        else:
            link(self.host, "eth0", self.router, "lan0")
            address(self.router, "lan0", f"{lan}.1/24", f"2001:db8:{number}a::1/64")
            address(self.host, "eth0", f"{lan}.2/24", f"2001:db8:{number}a::2/64")
            within(self.host, "ip", "route", "add", "default", "via", f"{lan}.1")
            within(self.host, "ip", "-6", "route", "add", "default", "via", f"2001:db8:{number}a::1")
        self.routes = {f"2001:db8:{number}a::/64": f"2001:db8:1::{number}0"}
        if untranslated:
            self.routes[f"{lan}.0/24"] = self.outside
        self.tell_routes(world)
        within(self.router, "nft", "-f", "-", text=self.rules(kind))
        if kind == "mapped":
            self.map_ports(lan)

    def add(self, name):
        add_space(name)
        self.spaces.append(name)

    def tell_routes(self, world):
        """What is not translated must be found from outside: ours by the others, theirs by us."""
        others = [site for site in world.sites.values() if site is not self]
        for name in ["stun"] + [site.router for site in others]:
            for net, via in self.routes.items():
                within(name, "ip", "route", "replace", net, "via", via)
        for site in others:
            for net, via in site.routes.items():
                within(self.router, "ip", "route", "replace", net, "via", via)

    def behind_a_carrier(self, lan):
        """host - inner router (port-restricted) - carrier's router (symmetric)."""
        self.add(self.inner)
        forwarding(self.inner)
        link(self.host, "eth0", self.inner, "lan0")
        link(self.inner, "wan0", self.router, "lan0")
        address(self.inner, "lan0", f"{lan}.1/24")
        address(self.host, "eth0", f"{lan}.2/24")
        address(self.inner, "wan0", f"100.64.{self.number}.2/24")
        address(self.router, "lan0", f"100.64.{self.number}.1/24")
        within(self.host, "ip", "route", "add", "default", "via", f"{lan}.1")
        within(self.inner, "ip", "route", "add", "default", "via", f"100.64.{self.number}.1")
        within(self.inner, "nft", "-f", "-", text=self.rules("port-restricted"))

    def rules(self, kind):
        """What the router does. Input from outside is dropped, as routers do: an answer of the
        router itself would leave a trace that spoils the mapping of what goes out next."""
        shut = """
            table inet shut {
              chain input { type filter hook input priority filter; policy accept;
                iifname "wan0" meta l4proto udp drop; }
            }"""
        cone = """
            table ip nat {
              chain post { type nat hook postrouting priority srcnat;
                oifname "wan0" masquerade; }
              %s
            }"""
        all_in = """chain pre { type nat hook prerouting priority dstnat;
                iifname "wan0" dnat to %s; }""" % self.local
        # By our port and their address, whatever their port.
        sent = """
            table ip sent {
              set sent { type inet_service . ipv4_addr; flags timeout; timeout 2m; size 65535; }
              chain forward { type filter hook forward priority filter; policy accept;
                iifname "lan0" meta l4proto udp update @sent { udp sport . ip daddr }
                iifname "wan0" meta l4proto udp udp dport . ip saddr != @sent drop; }
            }"""
        stateful = """
            table inet stateful {
              chain forward { type filter hook forward priority filter; policy accept;
                iifname "wan0" ct state new drop; }
            }"""
        random = """
            table ip nat {
              chain post { type nat hook postrouting priority srcnat;
                oifname "wan0" masquerade random,fully-random; }
            }"""
        return {
            "open": "",
            "firewall": stateful,
            "full cone": shut + cone % all_in,
            "restricted": shut + cone % all_in + sent,
            "port-restricted": shut + cone % "",
            "symmetric": shut + random,
            "double": shut + random,
            "mapped": random,
        }[kind] + self.stateful6(kind)

    @staticmethod
    def stateful6(kind):
        """In IPv6 every router here is a firewall, but that of the open site."""
        if kind in ("open", "firewall"):
            return ""
        return """
            table ip6 stateful {
              chain forward { type filter hook forward priority filter; policy accept;
                iifname "wan0" ct state new drop; }
            }"""

    def map_ports(self, lan):
        """miniupnpd: UPnP, PCP and NAT-PMP, in chains of its own."""
        within(self.router, "nft", "-f", "-", text="""
            table inet upnp {
              chain forward { type filter hook forward priority 0; policy accept;
                iifname "wan0" jump miniupnpd
                iifname "wan0" ct state new drop; }
              chain miniupnpd { }
              chain pre { type nat hook prerouting priority -100; policy accept;
                iifname "wan0" jump prerouting_miniupnpd; }
              chain prerouting_miniupnpd { }
              chain post { type nat hook postrouting priority 99; policy accept;
                oifname "wan0" jump postrouting_miniupnpd; }
              chain postrouting_miniupnpd { }
            }""")
        self.start_upnp(lan)

    def start_upnp(self, lan):
        config = self.upnp_config()
        with open(config, "w") as file:
            file.write(f"""
ext_ifname=wan0
ext_ip={self.outside}
listening_ip=lan0
enable_natpmp={'yes' if self.protocols == 'PCP' else 'no'}
enable_upnp=yes
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
secure_mode=yes
uuid=0b7d1ac6-0c5e-4c64-8b1e-{os.getpid():012d}
allow 1024-65535 {lan}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        self.processes.append(subprocess.Popen(
            inside(self.router, "miniupnpd", "-d", "-f", config, "-P", config + ".pid"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(1)

    def upnp_config(self):
        return os.path.join(tempfile.gettempdir(), f"{space(self.router)}-upnp.conf")

    def forget(self, _world=None):
        """Every mapping is gone, as after a restart of the router."""
        within(self.router, "conntrack", "-F", check=False)

    def move(self, _world=None):
        """The router gets another address outside. Old mappings go with the old address."""
        if self.kind in ("open", "firewall"):
            raise RuntimeError("what is not translated does not move with its router")
        old, self.outside = self.outside, self.moved_to
        self.seen_at = self.outside
        # The new one is there before the old one goes, so that its ways stay: what is down is one moment.
        within(self.router, "sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1",
               "net.ipv4.conf.wan0.promote_secondaries=1")
        within(self.router, "ip", "addr", "add", f"{self.outside}/24", "dev", "wan0")
        within(self.router, "ip", "addr", "del", f"{old}/24", "dev", "wan0")
        self.forget()
        if self.kind == "mapped":
            # Its ports belong to the address that it had.
            daemon = self.processes.pop()
            daemon.terminate()
            daemon.wait()
            self.start_upnp(self.lan.removesuffix(".0/24"))

    def close(self):
        for process in self.processes:
            process.terminate()
            process.wait()
        for name in self.spaces:
            run("ip", "netns", "del", space(name), check=False)
        for end in ("", ".pid"):
            path = self.upnp_config() + end
            if os.path.exists(path):
                os.remove(path)
