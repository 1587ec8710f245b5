"Everything that describes the package stands in settings.ini; this file hands it to setuptools."

from configparser import ConfigParser
from pathlib import Path
from shlex import split

from setuptools import find_packages, setup

config = ConfigParser(interpolation=None, delimiters=["="])
config.read(Path(__file__).with_name("settings.ini"), encoding="utf-8")
s = config["DEFAULT"]
name = s["lib_path"]

setup(
    name=s["lib_name"],
    version=s["version"],
    description=s["description"],
    keywords=s["keywords"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=s["author"],
    author_email=s["author_email"],
    url=s["git_url"],
    license={"apache2": "Apache-2.0"}[s["license"]],
    license_files=["LICENSE"],
    packages=find_packages(include=[name, f"{name}.*"]),
    package_data={name: ["**/*.safetensors", "**/*.json"]},
    zip_safe=False,
    python_requires=f">={s['min_python']}",
    install_requires=split(s["requirements"]),
    extras_require={"dev": split(s["dev_requirements"])},
    entry_points={"console_scripts": split(s["console_scripts"]), "nbdev": [f"{name}={name}._modidx:d"]},
)
