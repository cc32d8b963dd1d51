"""Writes a .nessus file of so many megabytes to stdout; the same size gives the same file.

    python generate.py 500 > big.nessus
"""

import random
import sys

WORDS = "the remote host runs a version of this service that is affected by several weaknesses and should be updated".split()


def text(dice: random.Random, words: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(words))


def plugins(dice: random.Random) -> list[str]:
    return [
        f'<description>{text(dice, 60)}</description>\n<cve>CVE-2024-{10000 + n}</cve>\n'
        f"<cvss3_base_score>7.5</cvss3_base_score>\n<cvss3_vector>CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N</cvss3_vector>\n"
        f"<fname>plugin_{n}.nasl</fname>\n<plugin_modification_date>2024/10/07</plugin_modification_date>\n"
        f"<risk_factor>High</risk_factor>\n<solution>{text(dice, 12)}</solution>\n<synopsis>{text(dice, 10)}</synopsis>\n"
        for n in range(2000)
    ]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    size, dice, written = int(sys.argv[1]) * 1_000_000, random.Random(7), 0

    def write(piece: str) -> None:
        nonlocal written
        written += len(piece)
        sys.stdout.write(piece)

    write('<?xml version="1.0" ?>\n<NessusClientData_v2>\n<Policy><policyName>large</policyName>\n<Preferences><ServerPreferences>')
    write("<preference><name>plugin_set</name>\n<value>" + "".join(f"{n};" for n in range(10_000, 260_000)) + "</value>\n</preference>\n")
    write("</ServerPreferences>\n<PluginsPreferences>")
    while written < size // 10:
        write(f"<item><pluginName>{text(dice, 5)}</pluginName>\n<preferenceValues>{text(dice, 30)}</preferenceValues>\n</item>\n")
    write('</PluginsPreferences></Preferences></Policy>\n<Report name="large" xmlns:cm="http://www.nessus.org/cm">\n')
    bodies, host = plugins(dice), 0
    while written < size:
        ip = f"10.{host >> 16}.{host >> 8 & 255}.{host & 255}"
        write(
            f'<ReportHost name="{ip}"><HostProperties>\n<tag name="HOST_END_TIMESTAMP">{1_700_000_000 + host}</tag>\n'
            f'<tag name="host-ip">{ip}</tag>\n<tag name="Credentialed_Scan">true</tag>\n</HostProperties>\n'
        )
        for item in range(200):
            n = dice.randrange(len(bodies))
            words = 150_000 if item == 0 and host % 50 == 0 else 40
            output = text(dice, 20) * (words // 20)
            write(
                f'<ReportItem port="{item}" svc_name="www" protocol="tcp" severity="{n % 5}" pluginID="{10_000 + n}" '
                f'pluginName="Plugin {n}" pluginFamily="General">\n{bodies[n]}<plugin_output>{output}</plugin_output>\n</ReportItem>\n'
            )
        write("</ReportHost>\n")
        host += 1
    write("</Report>\n</NessusClientData_v2>\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
