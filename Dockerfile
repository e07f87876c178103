# docker build --tag fedgen-bench . && docker run --rm --volume "$PWD:/work" fedgen-bench run --suite quick
FROM python:3.11-slim

RUN useradd --create-home bench
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src

USER bench
WORKDIR /work
ENV FEDGEN_CACHE=/home/bench/cache
ENTRYPOINT ["fedgen-bench"]
CMD ["--help"]
