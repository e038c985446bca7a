-- A database with whatever makes dumps hard to read. Names of databases have no quotes and no line breaks here: mariadb-dump finds
-- neither routines nor events of such a database.
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE `we/ird .%d``b` CHARACTER SET latin1;
USE shop;

CREATE SEQUENCE numbers START WITH 10;
CREATE SEQUENCE `se``quence's "/
;`;
CREATE TABLE customers (
    id INT PRIMARY KEY AUTO_INCREMENT,
    name VARCHAR(200) DEFAULT 'it''s ; -- none',
    length_stored INT GENERATED ALWAYS AS (octet_length(name)) STORED,
    length_virtual INT AS (octet_length(name) * 3) VIRTUAL,
    CONSTRAINT `check ``it` CHECK (name <> 'REFERENCES `nothing` (')
) COMMENT = 'quotes '' " ` \\ and -- and /* and ;';
INSERT INTO customers (name) VALUES
    ('plain'), (NULL), (''), ('it''s'), ('back\\slash'), ('end\\'), ('line\nbreak\r\n'), ('tab\t and \Z and \0'),
    ('"double"'), ('`back`'), ('),('), (');\nINSERT INTO `x` VALUES (1);\n'), ('-- Dump completed on 2020-01-01\n'),
    ('/*! '), ('*/'), ('#'), ('DELIMITER ;;\n'), ('Grüße, 世界, 🐘'), ('\\''');

CREATE TABLE orders (
    id INT PRIMARY KEY,
    customer INT,
    amount DECIMAL(10, 2),
    placed TIMESTAMP DEFAULT '2026-11-26 01:02:03',
    KEY (customer),
    FOREIGN KEY (customer) REFERENCES customers (id)
);
INSERT INTO orders (id, customer, amount) SELECT seq, 1 + seq % 10, -seq / 7 FROM seq_1_to_1000;

-- Without rows: MariaDB 10.11 cannot load a dump of rows for which it must lock a sequence too.
CREATE TABLE numbered (id INT PRIMARY KEY DEFAULT NEXTVAL(numbers));

CREATE TABLE binaries (id INT PRIMARY KEY, fixed BINARY(4), data BLOB, bits BIT(9), place POINT);
INSERT INTO binaries
    SELECT seq, UNHEX(LPAD(HEX(seq), 8, '0')), UNHEX(CONCAT(MD5(seq), '00275c220a0d1aff')), seq, POINT(seq, -seq)
    FROM seq_0_to_255;
INSERT INTO binaries VALUES (1000, NULL, '', NULL, NULL), (1001, '''\\', REPEAT('\\''', 1000), b'0', NULL);

CREATE TABLE large (id INT PRIMARY KEY, text VARCHAR(200));
INSERT INTO large SELECT seq, CONCAT(MD5(seq), ' ''', MD5(seq + 1), '\\') FROM seq_1_to_20000;

CREATE TABLE nothing (a INT);
CREATE TABLE `.hidden` (a INT);
CREATE TABLE `a/b` (`c/d` INT);
CREATE TABLE `100%` (a INT);
CREATE TABLE `values` (`values` INT, `select` INT);
INSERT INTO `values` VALUES (1, 2), (3, 4);
CREATE TABLE `we``ird
-- Table structure for table ``x``
;` (a INT);
INSERT INTO `we``ird
-- Table structure for table ``x``
;` VALUES (1), (2);
CREATE TABLE `世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世世` (a INT);

CREATE VIEW a_view AS SELECT id, name FROM customers WHERE name <> ';;';
CREATE VIEW `view/of view` AS SELECT id FROM a_view;
CREATE VIEW `vi``ew's "/
-- Dump completed on 2020-01-01
;` AS SELECT id FROM `view/of view`;

DELIMITER //
CREATE TRIGGER before_order BEFORE INSERT ON orders FOR EACH ROW BEGIN
    SET NEW.amount = NEW.amount; -- it's a comment; with a delimiter
    SET @x = ';;'; # another and not_called()
    IF @never THEN INSERT INTO customers (id) VALUES (Twice(concat('1', 'not_called()'))), (elsewhere.`count (all)`(2)); END IF;
END//
CREATE TRIGGER `after /order` AFTER INSERT ON orders FOR EACH ROW SET @y = '
DELIMITER ;
'//
CREATE TRIGGER `tri``gger's "/
;;` AFTER UPDATE ON orders FOR EACH ROW SET @x = 1//
CREATE PROCEDURE `pro``cedure's "/
DELIMITER ;
;;`() SELECT 1//
CREATE FUNCTION `fun``ction's "/
;;`() RETURNS INT DETERMINISTIC RETURN 1//
CREATE PROCEDURE liar() BEGIN
    SELECT '
-- Dump completed on 2020-01-01
;;
DELIMITER ;
-- Table structure for table `fake`
';
END//
CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 2//
SET sql_mode = 'NO_BACKSLASH_ESCAPES'//
CREATE PROCEDURE backslash() SELECT '\', ';;'//
CREATE TRIGGER backslash_too BEFORE UPDATE ON orders FOR EACH ROW SET @z = '\'//
SET sql_mode = 'ANSI_QUOTES'//
CREATE FUNCTION "quo""ted"() RETURNS INT DETERMINISTIC BEGIN DECLARE "a;b\" INT DEFAULT 1; RETURN "a;b\"; END//
SET sql_mode = 'ORACLE'//
CREATE PACKAGE pack AS FUNCTION one RETURN INT; END//
CREATE PACKAGE BODY pack AS FUNCTION one RETURN INT AS BEGIN RETURN 1; END; END//
SET sql_mode = DEFAULT//
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN SET @a = '; it''s'; SET @b = 1; END//
CREATE EVENT `other event` ON SCHEDULE EVERY 2 DAY DISABLE DO SET @a = 1//
-- MariaDB 10.11 dumps no event with two semicolons in its text: it looks for another delimiter without end.
CREATE EVENT `e``vent's "/
DELIMITER ;` ON SCHEDULE EVERY 1 DAY DISABLE DO SET @a = 1//
DELIMITER ;

USE `we/ird .%d``b`;
CREATE TABLE customers (id INT);
INSERT INTO customers VALUES (1), (2), (3);
CREATE TRIGGER counted BEFORE INSERT ON customers FOR EACH ROW SET @n = 1;
CREATE PROCEDURE here() SELECT 1;
-- From now on the dump changes the database's character set around what was made before.
ALTER DATABASE CHARACTER SET utf8mb4;
