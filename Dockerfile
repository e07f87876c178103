# docker build --tag fedgen-bench . && docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" fedgen-bench run --suite quick
FROM python:3.11-slim

COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src

# Whoever runs it has no home in the image: caches end with the container.
ENV HOME=/tmp FEDGEN_CACHE=/tmp/fedgen-bench
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["fedgen-bench"]
CMD ["--help"]
